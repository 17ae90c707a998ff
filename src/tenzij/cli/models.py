"""`tenzij model list|add|remove`: models and their passports. Weights are taken in only if they match theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenzij.cli.output import AsJson, console, print_json, print_table
from tenzij.cli.place import Place
from tenzij.cli.weights import take_in_weights
from tenzij.engines.passport import passport_from_file
from tenzij.passport import tree_from_passport

app = typer.Typer(no_args_is_help=True, help="List, add and remove models.")


@app.command("list")
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the admitted models."""
    place: Place = context.obj
    with place.register() as register:
        models = register.call("model_list")
    if as_json:
        print_json(models)
        return
    rows = [[m["id"], m["name"], ", ".join(m["tasks"]), m["licence"], m["sha256"][:16] + "…"] for m in models]
    print_table(["id", "name", "tasks", "licence", "weights (SHA-256)"], rows, "There are no models yet.")


@app.command()
def add(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The weights: a GGUF file.")],
    passport: Annotated[
        Path, typer.Option("--passport", exists=True, dir_okay=False, help="Its model passport: a TOML file.")
    ],
    as_json: AsJson = False,
) -> None:
    """Add a model: copy its weights in, hold them against the passport, and admit it.

    The passport states the file's SHA-256, licence, producer and what the model can do; docs/models.md explains it.
    Weights that differ from their passport are refused and nothing is kept.
    """
    place: Place = context.obj
    stated = passport_from_file(passport)
    with console.status("hashing and copying the weights"):
        take_in_weights(file, stated, place.home)
    with place.register() as register:
        added = register.call("model_add", passport=tree_from_passport(stated))
    if as_json:
        print_json(added)
    else:
        console.print(f"{stated.id} is admitted; its weights are {stated.file.sha256}.")


@app.command()
def remove(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's id, as `tenzij model list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Withdraw a model: no request reaches it any more. Its passport and weights stay on file."""
    place: Place = context.obj
    with place.register() as register:
        removed = register.call("model_remove", id=model)
    if as_json:
        print_json(removed)
    else:
        console.print(f"{model} is withdrawn.")
