"""The bytes of the write-ahead file: segments of groups of entries. Pure.

    segment := header group*
    header  := "TNZJWAL1" length(4) sha256(32) canonical JSON: format, organisation, node, number of the segment,
               index of its first entry, and the decisions that were unfinished when it began
    group   := "TGRP" count(4) length(4) first index(8) sha256(32) record*       the hash is of all but itself
    record  := length(4) entry                                                   numbers are big-endian

Rules
- A group is written only after the group before it is durable. So a torn group is the last one, and bytes that are no
  group with a whole group after them are not torn but damaged: never cut off, always reported.
- A segment begins whole (written beside, synced, renamed) and is written by one life of the process. Only the last
  segment can have a torn end.
- The header carries the unfinished decisions, so that a start reads the last segments and not the whole log.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tenzij.errors import OperatorError
from tenzij.ledger.canonical import ENCODER
from tenzij.ledger.entries import MAX_ENTRY_BYTES
from tenzij.ledger.fields import Code, Count, Request

FORMAT: Final = "tenzij-wal/1"
MAX_GROUP_BYTES: Final = 16 * 1024 * 1024

_HEADER_MAGIC: Final = b"TNZJWAL1"
_HEADER: Final = struct.Struct(">8sI32s")
_GROUP_MAGIC: Final = b"TGRP"
_GROUP: Final = struct.Struct(">4sIIQ")
_LENGTH: Final = struct.Struct(">I")
_HASH_BYTES: Final = 32
_GROUP_HEAD_BYTES: Final = _GROUP.size + _HASH_BYTES
_NAME: Final = re.compile(r"\Awal-([0-9]{8})\Z")


class LedgerDamaged(OperatorError):
    """The files do not say what was acknowledged. Nothing is written to them until a person has looked."""

    code = "ledger_damaged"


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"node": "knooppunt"}):
    """Whose log it is: one organisation, one node."""

    organisation: str = msgspec.field(name="organisatie")
    node: str


class Unfinished(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"request": "verzoek", "decision": "besluit", "target": "object"},
):
    """An allowed decision that has no outcome yet."""

    request: Request
    decision: Count  # its index
    target: Code


class Header(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "format": "formaat",
        "identity": "logboek",
        "number": "segment",
        "first_index": "eerste_index",
        "unfinished": "onafgerond",
    },
):
    """How a segment begins."""

    identity: Identity
    number: Count
    first_index: Count
    unfinished: tuple[Unfinished, ...]
    format: str = FORMAT


@dataclass(frozen=True, slots=True)
class Scan:
    """A segment as far as it is whole."""

    header: Header
    header_bytes: int
    last_group_at: int  # where it begins; `good_bytes` when there is none
    good_bytes: int  # what follows is torn
    next_index: int


_header_decoder: msgspec.json.Decoder[Header] = msgspec.json.Decoder(Header)


def name_from_number(number: int) -> str:
    """The segment's file name."""
    return f"wal-{number:08d}"


def number_from_name(name: str) -> int | None:
    """The number of the segment that the file of this name is; None when it is none."""
    match = _NAME.match(name)
    return int(match[1]) if match else None


def bytes_from_header(header: Header) -> bytes:
    """A new segment's first bytes."""
    text = ENCODER.encode(header)
    return _HEADER.pack(_HEADER_MAGIC, len(text), hashlib.sha256(text).digest()) + text


def bytes_from_group(first_index: int, entries: Sequence[bytes]) -> bytes:
    """One group, ready to write."""
    records = b"".join([part for entry in entries for part in (_LENGTH.pack(len(entry)), entry)])
    head = _GROUP.pack(_GROUP_MAGIC, len(entries), len(records), first_index)
    digest = hashlib.sha256(head)
    digest.update(records)
    return b"".join((head, digest.digest(), records))


def header_from_bytes(data: bytes) -> tuple[Header, int]:
    """The header that `data` begins with, and its size. Raises LedgerDamaged."""
    try:
        magic, length, digest = _HEADER.unpack_from(data)
        text = data[_HEADER.size : _HEADER.size + length]
        if magic != _HEADER_MAGIC or hashlib.sha256(text).digest() != digest:
            raise LedgerDamaged("A segment of the log has a damaged beginning.")
        header = _header_decoder.decode(text)
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError):
        raise LedgerDamaged("A segment of the log has an unreadable beginning.") from None
    if header.format != FORMAT:
        raise LedgerDamaged("A segment of the log has a format that this version does not know.")
    return header, _HEADER.size + length


def scan(data: bytes) -> Scan:
    """How far the segment `data` is whole. Raises LedgerDamaged when what follows is not merely torn."""
    header, header_bytes = header_from_bytes(data)
    last_group_at = position = header_bytes
    index = header.first_index
    while (end := _group_end(data, position, index)) is not None:
        index += _GROUP.unpack_from(data, position)[1]
        last_group_at, position = position, end
    if _has_group_after(data, position):
        raise LedgerDamaged(f"The log is damaged in segment {header.number} after entry {index}: later entries follow.")
    return Scan(header, header_bytes, last_group_at, position, index)


def entries_of(data: bytes, scanned: Scan) -> Iterator[tuple[int, bytes]]:
    """Index and bytes of each entry of a segment that was scanned."""
    position = scanned.header_bytes
    while position < scanned.good_bytes:
        _, count, _, index = _GROUP.unpack_from(data, position)
        position += _GROUP_HEAD_BYTES
        for number in range(count):
            (length,) = _LENGTH.unpack_from(data, position)
            position += _LENGTH.size
            yield index + number, data[position : position + length]
            position += length


def _group_end(data: bytes, position: int, first_index: int | None) -> int | None:
    """Where the whole group at `position` ends; None when there is none. With None any first index will do."""
    if len(data) - position < _GROUP_HEAD_BYTES:
        return None
    magic, count, length, index = _GROUP.unpack_from(data, position)
    start = position + _GROUP_HEAD_BYTES
    if magic != _GROUP_MAGIC or length > MAX_GROUP_BYTES or len(data) - start < length:
        return None
    if first_index is not None and index != first_index:
        return None
    digest = hashlib.sha256(data[position : position + _GROUP.size])
    digest.update(memoryview(data)[start : start + length])
    if digest.digest() != data[position + _GROUP.size : start]:
        return None
    return start + length if _is_records(data, start, start + length, count) else None


def _is_records(data: bytes, position: int, end: int, count: int) -> bool:
    for _ in range(count):
        if end - position < _LENGTH.size:
            return False
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size + length
        if length > MAX_ENTRY_BYTES:
            return False
    return position == end and count > 0


def _has_group_after(data: bytes, position: int) -> bool:
    position = data.find(_GROUP_MAGIC, position)
    while position >= 0:
        if _group_end(data, position, None) is not None:
            return True
        position = data.find(_GROUP_MAGIC, position + 1)
    return False
