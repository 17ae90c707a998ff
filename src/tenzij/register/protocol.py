"""What goes over the register's channels: to the gateway a feed, from the operator requests with their answers.

Rules
- Both are frames (see `channels.frames`). The feed is MessagePack, since it carries bytes; the operator's is JSON.
- The feed goes one way. It begins with `Hello`; then each change comes whole, and a `Beat` each second at least: any
  message is a sign of life.
- The operator's answers come in the order of the requests. Faults are codes and sentences of `refusals`.
- Who is at the other end was fixed by the supervisor (`Accept.role`); these bytes prove nothing about it. The policy
  version is signed all the same, since a gateway must not have to trust how it got it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tenzij.identity.keys import KeyRecord
from tenzij.register.policy_versions import SignedVersion
from tenzij.types import KeyId, UseCaseId

BEAT_S = 1.0
MAX_FEED_BYTES = 64 * 1024 * 1024
MAX_REQUEST_BYTES = 256 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class KeyEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key's record."""

    id: str
    digest: bytes
    owner: str
    use_cases: list[str]
    expires_ms: int
    loopback_only: bool
    revoked: bool


class VersionEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A policy version's canonical bytes, with their signature."""

    content: bytes
    signature: bytes


class Hello(msgspec.Struct, tag="hello", frozen=True, forbid_unknown_fields=True):
    """First on a feed: everything."""

    pepper: bytes
    version: VersionEntry
    keys: list[KeyEntry]


class VersionChanged(msgspec.Struct, tag="version", frozen=True, forbid_unknown_fields=True):
    """The policy version from now on."""

    version: VersionEntry


class KeysChanged(msgspec.Struct, tag="keys", frozen=True, forbid_unknown_fields=True):
    """All keys from now on."""

    keys: list[KeyEntry]


class Beat(msgspec.Struct, tag="beat", frozen=True, forbid_unknown_fields=True):
    """Nothing changed."""


FeedMessage = Hello | VersionChanged | KeysChanged | Beat


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operator's wish."""

    verb: str
    arguments: dict[str, Any] = {}


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why not: below 500 the asker can mend it."""

    code: str
    message: str
    status: int
    param: str | None = None


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To one request: a fault, or the verb's result."""

    result: Any = None
    fault: Fault | None = None


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # all that decoding can raise

encode_feed = msgspec.msgpack.Encoder().encode
encode_json = msgspec.json.Encoder().encode
feed_decoder: msgspec.msgpack.Decoder[FeedMessage] = msgspec.msgpack.Decoder(FeedMessage)
request_decoder = msgspec.json.Decoder(Request)
answer_decoder = msgspec.json.Decoder(Answer)


def entry_from_version(version: SignedVersion) -> VersionEntry:
    """As it travels."""
    return VersionEntry(version.content, version.signature)


def entry_from_record(record: KeyRecord) -> KeyEntry:
    """As it travels."""
    return KeyEntry(
        id=record.id,
        digest=record.digest,
        owner=record.owner,
        use_cases=list(record.use_cases),
        expires_ms=record.expires_ms,
        loopback_only=record.loopback_only,
        revoked=record.revoked,
    )


def record_from_entry(entry: KeyEntry) -> KeyRecord:
    """As the ring holds it."""
    return KeyRecord(
        id=KeyId(entry.id),
        digest=entry.digest,
        owner=entry.owner,
        use_cases=tuple(UseCaseId(each) for each in entry.use_cases),
        expires_ms=entry.expires_ms,
        loopback_only=entry.loopback_only,
        revoked=entry.revoked,
    )
