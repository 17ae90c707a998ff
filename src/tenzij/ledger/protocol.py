"""What a client and the ledger say to each other: msgpack, one message a frame (`channels.frames`).

    client                                  ledger
    Hello(unfinished)                ─▶
                                     ◀─     Welcome(), then Condition(code) whenever it changes
    Append(number, kind, entry, key) ─▶
                                     ◀─     Appended(number, index) | NotAppended(number, code)

Rules
- `Hello` is first and once: the requests that this client still answers for. Whatever else is unfinished and nobody
  answers for is closed by the ledger as `afgebroken`.
- Appends may be sent without waiting; each gets exactly one answer, in any order, when it is durable or refused.
- What breaks these rules, or is no message, ends the connection.
- Fields are only ever added at the end, with a default.
"""

from __future__ import annotations

from typing import Final

import msgspec

MAX_HELLO_BYTES: Final = 2 * 1024 * 1024
MAX_APPEND_BYTES: Final = 17 * 1024
MAX_ANSWER_BYTES: Final = 1024

NOT_BEGUN: Final = "not_begun"
TRANSIENT: Final = frozenset({"disk_full", "io_error", NOT_BEGUN})
"""Codes of `NotAppended` and `Condition` that pass by themselves; with any other the entry will never be taken."""


class Hello(msgspec.Struct, tag=0, array_like=True, frozen=True):
    """First message: requests with a durable decision whose outcome is still to come over this connection."""

    unfinished: list[str]


class Append(msgspec.Struct, tag=1, array_like=True, frozen=True):
    """Please record. `number` is the client's own; `key` that of the entry's commitment, empty when it has none."""

    number: int
    kind: str
    entry: bytes
    key: bytes = b""


class Welcome(msgspec.Struct, tag=0, array_like=True, frozen=True):
    """The hello was understood."""


class Appended(msgspec.Struct, tag=1, array_like=True, frozen=True):
    """Durable, at `index`."""

    number: int
    index: int


class NotAppended(msgspec.Struct, tag=2, array_like=True, frozen=True):
    """Not recorded, with a stable code."""

    number: int
    code: str


class Condition(msgspec.Struct, tag=3, array_like=True, frozen=True):
    """Why the ledger cannot write now; empty: it can."""

    code: str


ToLedger = Hello | Append
ToClient = Welcome | Appended | NotAppended | Condition

_encoder = msgspec.msgpack.Encoder()
_to_ledger: msgspec.msgpack.Decoder[ToLedger] = msgspec.msgpack.Decoder(ToLedger)
_to_client: msgspec.msgpack.Decoder[ToClient] = msgspec.msgpack.Decoder(ToClient)


class BadMessage(Exception):
    """Bytes that are no message of the expected side."""


def bytes_from_message(message: ToLedger | ToClient) -> bytes:
    """The message's bytes, without their frame."""
    return _encoder.encode(message)


def message_at_ledger(data: bytes) -> ToLedger:
    """What a client sent. Raises BadMessage."""
    try:
        return _to_ledger.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("unreadable message from a client") from None


def message_at_client(data: bytes) -> ToClient:
    """What the ledger sent. Raises BadMessage."""
    try:
        return _to_client.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("unreadable message from the ledger") from None
