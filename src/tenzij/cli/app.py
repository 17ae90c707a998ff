"""The command `tenzij`: its verbs, and what happens when one fails.

- What went wrong goes to stderr in one sentence that says what to do, with --json as an object with its stable code;
  exit status 1. Wrong usage is 2, a refusal of `decide` is 3.
- A programming error shows its type and where, never its message: a message could hold text.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from tenzij import __version__
from tenzij.cli import check, decide, keys, models, up
from tenzij.cli.place import Place
from tenzij.errors import TenzijError

app = typer.Typer(
    name="tenzij",
    help="Lokaal, tenzij: AI models on your own machines; nothing leaves without a granted exception.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.add_typer(keys.app, name="key")
app.add_typer(models.app, name="model")
app.command("decide")(decide.decide_command)
app.command("check")(check.check)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tenzij {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(envvar="TENZIJ_HOME", help="Where all state lives.", show_default="~/.local/share/tenzij"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(envvar="TENZIJ_CONFIG", help="Configuration file.", show_default="<home>/config.toml")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    context.obj = Place.from_options(home, config)


def main() -> None:
    """Runs the command line and exits."""
    try:
        app()
    except TenzijError as error:
        if "--json" in sys.argv[1:]:
            typer.echo(json.dumps({"error": {"code": error.code, "message": error.message}}), err=True)
        else:
            typer.echo(f"tenzij: {error.message}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last stop: a message could hold text, so only type and place are shown
        frames = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)][-4:]
        typer.echo(f"tenzij: a fault of ours, {type(error).__name__} at {' < '.join(reversed(frames))}", err=True)
        sys.exit(70)
