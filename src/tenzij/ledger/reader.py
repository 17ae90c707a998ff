"""Reads a log's folder without its writer: every entry in order, from the first that the folder holds.

- Read-only, and safe beside a running writer: a group that is not whole yet is where reading ends.
- Raises LedgerDamaged where the files cannot be what a writer left. It does not prove more than that: that nothing was
  altered is shown by the tree and its checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tenzij.ledger.place import write_ahead_folder
from tenzij.ledger.segment import LedgerDamaged, entries_of, name_from_number, number_from_name, scan

_decoder = msgspec.json.Decoder(dict[str, Any])


def read_bytes(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Index and canonical bytes of each entry of the log in `folder`. Raises LedgerDamaged, OSError."""
    segments = write_ahead_folder(folder)
    numbers = sorted(number for file in segments.iterdir() if (number := number_from_name(file.name)) is not None)
    next_index: int | None = None
    for number in numbers:
        data = (segments / name_from_number(number)).read_bytes()
        scanned = scan(data)
        if scanned.good_bytes != len(data) and number != numbers[-1]:
            raise LedgerDamaged(f"The log is damaged at the end of segment {number}: later segments follow.")
        if scanned.header.number != number or next_index not in (None, scanned.header.first_index):
            raise LedgerDamaged(f"Segment {number} of the log does not follow the one before it.")
        yield from entries_of(data, scanned)
        next_index = scanned.next_index


def read_entries(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Index and content of each entry of the log in `folder`. Raises as `read_bytes`."""
    for index, data in read_bytes(folder):
        yield index, _decoder.decode(data)
