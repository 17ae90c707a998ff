"""The bytes of a segment: whole, torn, damaged."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.samples import IDENTITY, decision_bytes, request
from tenzij.ledger.segment import (
    Header,
    Identity,
    LedgerDamaged,
    Unfinished,
    bytes_from_group,
    bytes_from_header,
    entries_of,
    header_from_bytes,
    name_from_number,
    number_from_name,
    scan,
)

HEADER = Header(IDENTITY, 3, 100, (Unfinished(request(1), 99, "model/m"),))
GROUPS = [[b"een"], [b"twee", b"drie" * 1000], [decision_bytes(4)]]


def _segment() -> tuple[bytes, list[int]]:
    """A segment of three groups, and where each part ends."""
    data, ends, index = bytes_from_header(HEADER), [], 100
    ends.append(len(data))
    for group in GROUPS:
        data += bytes_from_group(index, group)
        index += len(group)
        ends.append(len(data))
    return data, ends


def test_the_bytes_are_as_documented() -> None:
    """docs/ledger-format.md, by hand."""
    text = (
        b'{"eerste_index":0,"formaat":"tenzij-wal/1","logboek":{"knooppunt":"n","organisatie":"o"},'
        b'"onafgerond":[],"segment":1}'
    )
    header = b"TNZJWAL1" + struct.pack(">I", len(text)) + hashlib.sha256(text).digest() + text
    assert bytes_from_header(Header(Identity("o", "n"), 1, 0, ())) == header
    records = struct.pack(">I", 1) + b"a" + struct.pack(">I", 2) + b"bc"
    head = b"TGRP" + struct.pack(">IIQ", 2, len(records), 7)
    assert bytes_from_group(7, [b"a", b"bc"]) == head + hashlib.sha256(head + records).digest() + records


def test_a_whole_segment_is_read_back() -> None:
    data, ends = _segment()
    scanned = scan(data)
    assert scanned.header == HEADER
    assert (scanned.header_bytes, scanned.good_bytes, scanned.next_index) == (ends[0], ends[-1], 104)
    expected = [entry for group in GROUPS for entry in group]
    assert list(entries_of(data, scanned)) == list(enumerate(expected, 100))
    assert scan(data[: ends[0]]).next_index == 100


def test_cut_anywhere_only_whole_groups_count() -> None:
    data, ends = _segment()
    for size in range(ends[0], len(data) + 1):
        scanned = scan(data[:size])
        assert scanned.good_bytes == max(end for end in ends if end <= size)
    for size in range(ends[0]):
        with pytest.raises(LedgerDamaged):
            scan(data[:size])


def test_a_changed_byte_in_the_last_group_is_torn_and_before_it_is_damage() -> None:
    data, ends = _segment()
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 0x41]) + data[position + 1 :]
        if position < ends[-2]:
            with pytest.raises(LedgerDamaged):
                scan(changed)
        else:
            assert scan(changed).good_bytes == ends[-2]


def test_a_removed_group_is_damage() -> None:
    data, ends = _segment()
    with pytest.raises(LedgerDamaged):
        scan(data[: ends[1]] + data[ends[2] :])


def test_a_group_that_repeats_an_index_is_damage() -> None:
    data, _ = _segment()
    with pytest.raises(LedgerDamaged):
        scan(data + bytes_from_group(100, [b"weer"]))


@pytest.mark.parametrize(
    "records",
    [
        b"",
        struct.pack(">I", 5) + b"kort",
        struct.pack(">I", 16 * 1024 + 1) + bytes(16 * 1024 + 1),
        struct.pack(">I", 1) + b"ab",
        struct.pack(">I", 1),
    ],
)
def test_a_group_with_a_good_hash_and_bad_records_does_not_count(records: bytes) -> None:
    data = bytes_from_header(HEADER)
    head = b"TGRP" + struct.pack(">IIQ", 1, len(records), 100)
    assert scan(data + head + hashlib.sha256(head + records).digest() + records).next_index == 100


@pytest.mark.parametrize("change", [("formaat", "tenzij-wal/2"), ("segment", -1), ("extra", 1), ("onafgerond", None)])
def test_a_header_that_is_not_known_is_refused(change: tuple[str, object]) -> None:
    import json

    text = bytes_from_header(HEADER)[44:]
    tree = json.loads(text)
    tree[change[0]] = change[1]
    changed = json.dumps(tree).encode()
    with pytest.raises(LedgerDamaged):
        header_from_bytes(b"TNZJWAL1" + struct.pack(">I", len(changed)) + hashlib.sha256(changed).digest() + changed)


@given(st.binary(max_size=400))
def test_nothing_follows_from_noise(noise: bytes) -> None:
    data, ends = _segment()
    assert scan(data + noise).good_bytes == ends[-1]
    with pytest.raises(LedgerDamaged):
        scan(noise)


def test_names() -> None:
    assert name_from_number(7) == "wal-00000007"
    assert number_from_name("wal-00000007") == 7
    for other in ("wal-7", "wal-new", "wal-00000007.bak", "wal-00000007\n", "xwal-00000007", ""):
        assert number_from_name(other) is None
