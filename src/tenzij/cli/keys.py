"""`tenzij key create|list|revoke`: the API keys. A key is shown once, when it is made; nothing can show it again."""

from __future__ import annotations

from typing import Annotated

import typer

from tenzij.cli.output import AsJson, console, day, print_json, print_table
from tenzij.cli.place import Place

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A name to recognise the key by, e.g. 'afdeling vergunningen'.")],
    use_case: Annotated[
        list[str] | None, typer.Option("--use-case", help="Use case (toepassing) that the key is for; repeatable.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days until it expires.")] = 90,
    loopback_only: Annotated[
        bool, typer.Option("--loopback-only", help="The key works from this machine only.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it once."""
    place: Place = context.obj
    with place.register() as register:
        made = register.call(
            "key_create", name=name, use_cases=use_case or ["verkenning"], days=days, loopback_only=loopback_only
        )
    if as_json:
        print_json(made)
        return
    console.print(f"Key {made['id']} for {', '.join(made['use_cases'])}, until {day(made['expires_ms'])}.")
    console.print("This is the only time that it is shown:\n")
    typer.echo(made["key"])


@app.command("list")
def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """List all keys, without the keys themselves."""
    place: Place = context.obj
    with place.register() as register:
        keys = register.call("key_list")
    if as_json:
        print_json(keys)
        return
    rows = [
        [
            k["id"],
            k["name"],
            ", ".join(k["use_cases"]),
            k["state"],
            day(k["expires_ms"]),
            "yes" if k["loopback_only"] else "",
        ]
        for k in keys
    ]
    print_table(["id", "name", "use cases", "state", "expires", "loopback only"], rows, "There are no keys yet.")


@app.command()
def revoke(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(help="The key's id, as `tenzij key list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key: a running platform refuses it within a second."""
    place: Place = context.obj
    with place.register() as register:
        revoked = register.call("key_revoke", id=key_id)
    if as_json:
        print_json(revoked)
    else:
        console.print(f"Key {key_id} is revoked.")
