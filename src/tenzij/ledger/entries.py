"""All kinds of entry, their bytes, and the checks that the ledger makes of them.

Rules
- An entry's bytes are its canonical JSON (`canonical`), at most `MAX_ENTRY_BYTES`: the same bytes are later the leaf
  data of the Merkle tree (RFC 6962).
- Bytes are accepted only if they are an entry of a known kind and version, whole, canonical, and made of codes.
- A kind is one file and one line in `Entries`. Its schema has a version; a changed schema is a new version, and the old
  one stays readable.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tenzij.errors import PlatformError
from tenzij.ledger.canonical import ENCODER
from tenzij.ledger.decision_entry import DecisionEntry
from tenzij.ledger.fields import CODE_BYTES, PUNCTUATION
from tenzij.ledger.outcome_entry import OutcomeEntry

__all__ = ["KINDS", "MAX_ENTRY_BYTES", "BadEntry", "DecisionEntry", "Entries", "EntryTooLarge", "OutcomeEntry"]

Entries = DecisionEntry | OutcomeEntry
KINDS: Final = ("besluit", "uitkomst")
MAX_ENTRY_BYTES: Final = 16 * 1024

_decoder: msgspec.json.Decoder[Entries] = msgspec.json.Decoder(Entries)
_ENTRY_BYTES: Final = CODE_BYTES + PUNCTUATION


class EntryTooLarge(PlatformError):
    """The entry is above the limit, so what it records may not happen."""

    status = 500
    code = "ledger_entry_too_large"


class BadEntry(PlatformError):
    """Not an entry. `fault` is a stable code: bad_schema, not_canonical, not_codes."""

    status = 500
    code = "ledger_bad_entry"

    def __init__(self, fault: str) -> None:
        super().__init__(f"The record of this request is not one that the log takes ({fault}), so nothing was done.")
        self.fault = fault


def bytes_from_entry(entry: Entries) -> bytes:
    """The entry's canonical bytes. Raises EntryTooLarge, BadEntry; the schema is checked by who takes them."""
    try:
        data = ENCODER.encode(entry)
    except UnicodeEncodeError:
        raise BadEntry("not_codes") from None
    _require_size(data)
    return data


def entry_from_bytes(data: bytes) -> Entries:
    """The entry that `data` is. Raises EntryTooLarge, BadEntry."""
    _require_size(data)
    try:
        entry = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadEntry("bad_schema") from None
    if ENCODER.encode(entry) != data:
        raise BadEntry("not_canonical")
    if data.translate(None, _ENTRY_BYTES):
        raise BadEntry("not_codes")
    return entry


def _require_size(data: bytes) -> None:
    if len(data) > MAX_ENTRY_BYTES:
        raise EntryTooLarge(f"The record of this request is larger than {MAX_ENTRY_BYTES} bytes, so nothing was done.")
