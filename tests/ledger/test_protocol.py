"""Messages on the ledger's channel: round trips, and bytes that are none."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.ledger.protocol import (
    Append,
    Appended,
    BadMessage,
    Condition,
    Hello,
    NotAppended,
    ToClient,
    ToLedger,
    Welcome,
    bytes_from_message,
    message_at_client,
    message_at_ledger,
)


@pytest.mark.parametrize(
    "message", [Hello([]), Hello(["a" * 32]), Append(7, "besluit", b"{}", b"k" * 32), Append(0, "", b"")]
)
def test_to_the_ledger_and_back(message: ToLedger) -> None:
    assert message_at_ledger(bytes_from_message(message)) == message


@pytest.mark.parametrize("message", [Welcome(), Appended(1, 2), NotAppended(3, "disk_full"), Condition("")])
def test_to_the_client_and_back(message: ToClient) -> None:
    assert message_at_client(bytes_from_message(message)) == message


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    for read in (message_at_ledger, message_at_client):
        try:
            read(noise)
        except BadMessage:
            continue


@pytest.mark.parametrize(
    "tree", [[9], [], {}, [1], [1, "x", "besluit", b"", b""], [1, 1, "besluit", "text", b""], [0, [1]], None, "a"]
)
def test_other_trees_are_refused(tree: object) -> None:
    with pytest.raises(BadMessage):
        message_at_ledger(msgspec.msgpack.encode(tree))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadMessage):
        message_at_ledger(b"\x91" * 100_000)
    with pytest.raises(BadMessage):
        message_at_client(b"\x91" * 100_000)


def test_a_later_version_may_add_fields_at_the_end() -> None:
    assert message_at_client(msgspec.msgpack.encode([1, 4, 5, b"receipt"])) == Appended(4, 5)
