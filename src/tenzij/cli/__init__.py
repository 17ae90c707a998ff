"""The command line: `tenzij up`, `key`, `model`, `decide`, `check`. One file a verb; `app` puts them together."""

from tenzij.cli.app import main

__all__ = ["main"]
