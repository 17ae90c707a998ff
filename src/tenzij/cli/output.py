"""How commands print: tables and sentences for a person, JSON for a script."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]

console = Console(highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """`value` as indented JSON on stdout, without colour."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True))


def print_table(columns: list[str], rows: list[list[str]], empty: str) -> None:
    """The rows under their columns, or the sentence `empty` when there are none.

    Nothing is cut off to fit the terminal: an id must be whole to be pasted.
    """
    if not rows:
        console.print(empty)
        return
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def command_name() -> str:
    """How to call this command again from where the person is: "tenzij" when that is it, else a path."""
    called = Path(sys.argv[0]).resolve()
    if Path(shutil.which("tenzij") or "").resolve() == called:
        return "tenzij"
    here = Path.cwd()
    return str(called.relative_to(here)) if called.is_relative_to(here) else str(called)


def day(ms: int) -> str:
    """A moment as a day and time in UTC, to the minute."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
