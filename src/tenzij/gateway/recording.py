"""Around the work of one allowed request: its decision durable before, exactly one outcome after (promise 6).

- The outcome is written in `finally` and to its end: a client that hangs up, an engine that dies and a cancel from
  above all leave one (pitfalls 3 to 6). It is awaited by the request's own task: nothing is left to a background task.
- A cancel that comes while the decision is being recorded waits until it is known whether it was, so that no decision
  stays without an outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tenzij.gateway.decided import Decided
from tenzij.gateway.state import Gateway
from tenzij.gateway.tally import Ending, Tally
from tenzij.gateway.unbroken import to_the_end
from tenzij.ledger.commitments import KEY_BYTES
from tenzij.ledger.conversion import uitkomst_from
from tenzij.ledger.entries import DecisionEntry, OutcomeEntry

_UNSETTLED = Ending("mislukt", "internal_error")


@contextlib.asynccontextmanager
async def recorded(gateway: Gateway, decided: Decided) -> AsyncIterator[Tally]:
    """What happens inside may happen: the decision is durable. Raises LedgerUnavailable or EntryTooLarge before it."""
    entry = decided.entry
    index, cancelled = await to_the_end(gateway.log.record_decision(entry, decided.key), "record decision")
    began_ms = gateway.outside.now_ms()
    tally = Tally(gateway.outside.random_bytes(KEY_BYTES))
    try:
        if cancelled:
            raise asyncio.CancelledError
        yield tally
    except BaseException as error:
        tally.end_by(error)
        raise
    finally:
        outcome = _outcome(entry, index, tally, began_ms, gateway.outside.now_ms())
        _, cancelled = await to_the_end(gateway.log.record_outcome(outcome, tally.key), "record outcome")
        if cancelled:
            raise asyncio.CancelledError


def _outcome(entry: DecisionEntry, index: int, tally: Tally, began_ms: int, now_ms: int) -> OutcomeEntry:
    ending = tally.ending or _UNSETTLED
    usage = tally.usage
    return uitkomst_from(
        entry,
        index,
        ending.result,
        time_ms=now_ms,
        reason=ending.reason,
        finish=tally.finish,
        usage=None if usage is None else (usage.prompt_tokens, usage.completion_tokens),
        duration_ms=max(0, now_ms - began_ms),
        answer=tally.commitment(),
    )
