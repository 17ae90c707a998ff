"""What every entry of the log has, and the types its fields are made of.

Rules
- The six fields of BIO2 8.15.01 are in each entry: actie, object, resultaat, oorsprong, actor, tijdstempel.
- Everything is a code, a number, a time or a hash. `CODE_BYTES` has no space: no sentence fits in, so no text of a
  prompt, an answer, a name or an error message can (promise 5).
- Each field is always there; what does not apply is null. A field that the schema does not know is refused.
- Organisation and node are not in an entry: the log that it stands in is theirs (`segment`), and an entry cannot be
  moved to another log without breaking that log's tree.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from tenzij.types import Level

CODE_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/@+-?"
PUNCTUATION = b'{}[]",'  # JSON's own, beside the colon above

MAX_INTEGER = 2**53 - 1

Code = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
Hash = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Request = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Timestamp = Annotated[
    str, msgspec.Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z\Z")
]
LevelCode = Literal["niveau_1", "niveau_2", "niveau_3", "niveau_4", "staatsgeheim"]

UNKNOWN_ACTOR = "onbekend"  # nobody whom a key named
LEDGER_ACTOR = "logboek"  # the ledger itself
UNKNOWN_MODEL = "?"  # a model name that the policy version does not know: whatever the client wrote stays out

LEVELS = {level.code: level for level in Level}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Origin(StrEnum):
    """Where a request came from (oorsprong): the class of its network, never an address."""

    LOCAL = "lokaal"  # this machine
    INTERNAL = "intern"  # a private network
    EXTERNAL = "extern"  # any other
    PLATFORM = "platform"  # no request: the platform itself


class Entry(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="soort",
    rename={
        "version": "versie",
        "request": "verzoek",
        "timestamp": "tijdstempel",
        "origin": "oorsprong",
        "target": "object",
    },
):
    """What the kinds share. The kind is the tag `soort`; `actie` and `resultaat` are the kind's own."""

    version: Literal[1] = 1
    request: Request  # the W3C trace id that the gateway gave this one request
    timestamp: Timestamp  # RFC 3339, UTC, milliseconds
    actor: Code  # pseudonym: the key's public id, UNKNOWN_ACTOR or LEDGER_ACTOR
    origin: Origin
    target: Code  # what it is about: "model/…" or "toepassing/…"


def timestamp_from_ms(time_ms: int) -> str:
    """RFC 3339 with milliseconds, UTC. Raises OverflowError outside the years 1 to 9999."""
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def ms_from_timestamp(timestamp: str) -> int:
    """Milliseconds since 1970. Raises ValueError for what no calendar has."""
    return (datetime.fromisoformat(timestamp) - _EPOCH) // _MILLISECOND
