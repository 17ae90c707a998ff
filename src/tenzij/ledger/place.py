"""Where things are in the ledger's folder. Tiles and checkpoints will stand beside these."""

from __future__ import annotations

from pathlib import Path
from typing import Final

WRITE_AHEAD: Final = "wal"
KEYS: Final = "sleutels.sqlite"


def write_ahead_folder(folder: Path) -> Path:
    """The write-ahead file's segments."""
    return folder / WRITE_AHEAD


def keys_file(folder: Path) -> Path:
    """The erasable store of the commitments' keys."""
    return folder / KEYS
