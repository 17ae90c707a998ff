"""What is known so far about one answer and how it ended: what its outcome will say. No I/O.

- The first ending counts. An answer that was delivered whole stays so, whatever fails while its engine is let go.
- A client that hung up or does not read breaks off; so does a gateway that stops, and the end of a key. All else is a
  failure, with the code that the client was told. An exception that is not ours has no code but `internal_error`: its
  text goes nowhere.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tenzij.engines.protocol import Counted, Event, Finish, Text, Usage
from tenzij.gateway.faults import fault_from_error
from tenzij.gateway.leash import Cut, Reason
from tenzij.ledger.commitments import ANSWER
from tenzij.ledger.outcome_entry import CLIENT_GONE

Result = Literal["voltooid", "afgebroken", "mislukt"]

CLIENT_STALLED = "client_leest_niet"
GATEWAY_STOPS = "gateway_stopt"
KEY_REVOKED = "sleutel_ingetrokken"
KEY_EXPIRED = "sleutel_verlopen"

BROKEN_OFF: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.CLIENT_GONE: CLIENT_GONE,
        Reason.CLIENT_STALLED: CLIENT_STALLED,
        Reason.STOPPING: GATEWAY_STOPS,
        Reason.KEY_REVOKED: KEY_REVOKED,
        Reason.KEY_EXPIRED: KEY_EXPIRED,
    }
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended; `reason` is None only for one that was completed."""

    result: Result
    reason: str | None = None


COMPLETED = Ending("voltooid")


class Tally:
    """Grows while the answer is relayed. `key` is that of the commitment to the answer, fresh for this one."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.usage: Usage | None = None  # the engine's last count; None when it never gave one
        self.finish: str | None = None  # OpenAI's finish_reason, once the answer is whole
        self.ending: Ending | None = None
        self._answer: hmac.HMAC | None = None

    def note(self, event: Event) -> None:
        """Takes what the event tells."""
        match event:
            case Text(text):
                self._commit(text)
            case Counted(usage):
                self.usage = usage
            case Finish(reason, usage):
                self.finish, self.usage = reason, usage
            case _:
                pass

    def commitment(self) -> str | None:
        """The commitment to all text so far, as `ledger.commitments` makes it; None when there was none."""
        return None if self._answer is None else self._answer.hexdigest()

    def _commit(self, text: str) -> None:
        if self._answer is None:
            self._answer = hmac.new(self.key, ANSWER + b"\x00", "sha256")
        self._answer.update(text.encode("utf-8", "replace"))

    def complete(self) -> None:
        """The whole answer was handed to the client's connection."""
        self.ending = self.ending or COMPLETED

    def end_by(self, error: BaseException) -> None:
        """It ended by `error`, unless it had ended before."""
        self.ending = self.ending or ending_by(error)


def ending_by(error: BaseException) -> Ending:
    """How a request ended that `error` ended."""
    if isinstance(error, asyncio.CancelledError):
        return Ending("afgebroken", GATEWAY_STOPS)
    if isinstance(error, Cut):
        if error.reason in BROKEN_OFF:
            return Ending("afgebroken", BROKEN_OFF[error.reason])
        return Ending("mislukt", error.reason.value)
    return Ending("mislukt", fault_from_error(error).code)
