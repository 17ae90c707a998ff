"""The gateway's side of the ledger: a decision recorded before anything happens, an outcome recorded whatever happens.

Rules
- One connection at a time, kept by `run`; appends are sent without waiting for each other.
- A decision fails fast: no connection or no answer within `decision_wait_s`, or a ledger that cannot write, raises
  LedgerUnavailable, and nothing may happen. It is never sent again.
- A ledger that let a decision run out of time is silent, and not ready: the next is refused at once, until anything is
  heard. That needs no probe and no new connection: the decision that was given up is still under way, and the ledger
  owes it one answer, or the connection's end. (Over a new one, what was given up would be closed as if the gateway had
  gone; and a frozen ledger would be handed connection upon connection.)
- An outcome is kept and sent again, over as many connections as it takes, until it is durable. Whoever waits for it
  may stop waiting: it goes on. As many outcomes can wait as decisions are unfinished, and those are bounded.
- No decision stays without an outcome. If it becomes durable after its asker stopped waiting (cancelled, or out of
  time), the client itself records `afgebroken` with `opgegeven`. If the connection breaks before its answer came, the
  next hello does not name it, and the ledger closes it should it be there.
- All state belongs to the event loop's thread; there are no locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tenzij.channels.control import Refusal
from tenzij.channels.frames import BadFrame, frame, read_frame
from tenzij.errors import LedgerUnavailable
from tenzij.ledger.conversion import uitkomst_from
from tenzij.ledger.entries import BadEntry, DecisionEntry, Entries, EntryTooLarge, OutcomeEntry, bytes_from_entry
from tenzij.ledger.outcome_entry import GIVEN_UP
from tenzij.ledger.protocol import (
    MAX_ANSWER_BYTES,
    TRANSIENT,
    Append,
    Appended,
    BadMessage,
    Condition,
    Hello,
    NotAppended,
    ToClient,
    Welcome,
    bytes_from_message,
    message_at_client,
)

DECISION_WAIT_S: Final = 5.0
MOST_UNFINISHED: Final = 8192
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 2.0
WELCOME_WITHIN_S: Final = 10.0

_READ_BYTES: Final = 1024 * 1024


class EntryRefused(LedgerUnavailable):
    """The ledger will never take this entry: a defect of ours. `fault` is its stable code."""

    code = "ledger_entry_refused"

    def __init__(self, fault: str) -> None:
        super().__init__(f"The log did not take the record of this request ({fault}).")
        self.fault = fault


@dataclass(slots=True, eq=False)
class _Pending:
    """One entry on its way. `number` is that of its append on this connection; None while it is not sent."""

    entry: Entries
    data: bytes
    key: bytes
    future: asyncio.Future[int]
    number: int | None = None
    is_abandoned: bool = False


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class LedgerClient:
    """One for the life of the process. `connect` gives a connected stream socket to the ledger."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[socket.socket]],
        *,
        decision_wait_s: float = DECISION_WAIT_S,
        most_unfinished: int = MOST_UNFINISHED,
    ) -> None:
        self._connect = connect
        self._decision_wait_s = decision_wait_s
        self._most_unfinished = most_unfinished
        self._unfinished: set[str] = set()  # durable decisions whose outcome is not durable yet
        self._outcomes: dict[str, _Pending] = {}  # by request, until durable
        self._sent: dict[int, _Pending] = {}  # on this connection, not answered
        self._deciding = 0
        self._next_number = 0
        self._writer: asyncio.StreamWriter | None = None
        self._to_write: list[bytes] = []
        self._welcomed = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._condition = ""
        self._is_silent = False  # only while a decision that was given up is in `_sent`
        self._has_ended = False

    @property
    def is_ready(self) -> bool:
        """Whether a decision could be recorded now."""
        return self._welcomed.is_set() and not self._condition and not self._is_silent

    async def run(self) -> None:
        """Keeps the connection, until cancelled; what is pending then fails."""
        pause_s = FIRST_PAUSE_S
        try:
            while True:
                with contextlib.suppress(Refusal, OSError, BadFrame, BadMessage):  # TimeoutError is an OSError
                    was_welcome = False
                    try:
                        was_welcome = await self._converse(await self._connect())
                    finally:
                        was_welcome = was_welcome or self._welcomed.is_set()
                        self._forget_connection()
                        pause_s = FIRST_PAUSE_S if was_welcome else min(pause_s * 2, LONGEST_PAUSE_S)
                await asyncio.sleep(pause_s)
        finally:
            self._end()

    async def record_decision(self, entry: DecisionEntry, key: bytes = b"") -> int:
        """The decision's index, once it is durable. `key` is that of its commitment.

        Raises LedgerUnavailable, EntryTooLarge, BadEntry: then it must not be acted upon. After a return, an outcome of
        the request must be recorded, unless the decision was a refusal.
        """
        data = bytes_from_entry(entry)
        if self._deciding + len(self._unfinished) >= self._most_unfinished:
            raise LedgerUnavailable("Too many requests are being recorded. Try again in a moment.", retry_after_s=1)
        pending = _Pending(entry, data, key, asyncio.get_running_loop().create_future())
        self._deciding += 1
        try:
            async with asyncio.timeout(self._decision_wait_s):
                await self._until_connected()
                self._send(pending)
                return await pending.future
        except TimeoutError:
            if pending.number is not None:  # else it was never sent, or answered in this instant
                self._is_silent = True
            self._abandon(pending)
            raise _unavailable("does not answer") from None
        except asyncio.CancelledError:
            self._abandon(pending)
            raise
        finally:
            self._deciding -= 1

    async def record_outcome(self, entry: OutcomeEntry, key: bytes = b"") -> int:
        """The index of the request's outcome, once it is durable: of the first, where there are several.

        Cancelling the wait does not cancel the recording. Raises BadEntry and EntryTooLarge before anything is sent,
        and EntryRefused: the ledger then closes the request by itself, at the latest when this process ends. Raises
        LedgerUnavailable when `run` has ended.
        """
        pending = self._outcomes.get(entry.request) or self._keep(entry, key)
        return await asyncio.shield(pending.future)

    async def settled(self, within_s: float) -> bool:
        """Whether every outcome is durable, waiting that long: to be called before `run` is cancelled."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._settled.wait()
        return not self._outcomes

    async def _until_connected(self) -> None:
        while self._writer is None:
            await self._welcomed.wait()  # it may be lost again before we run
        if self._condition:
            raise _unavailable("cannot write now")
        if self._is_silent:
            raise _unavailable("does not answer")

    def _keep(self, entry: OutcomeEntry, key: bytes) -> _Pending:
        if self._has_ended:
            raise _unavailable("is not connected any more")
        try:
            data = bytes_from_entry(entry)
        except (BadEntry, EntryTooLarge):
            self._unfinished.discard(entry.request)  # not named in the next hello, so the ledger closes it
            raise
        pending = _Pending(entry, data, key, asyncio.get_running_loop().create_future())
        pending.future.add_done_callback(_look_at_failure)
        self._outcomes[entry.request] = pending
        self._settled.clear()
        if self._writer is not None and not self._condition:
            self._send(pending)
        return pending

    def _abandon(self, pending: _Pending) -> None:
        """Nobody waits for this decision any more: should it be, or become, durable, it is closed."""
        pending.is_abandoned = True
        future = pending.future
        if future.done() and not future.cancelled() and future.exception() is None:
            self._close_abandoned(pending, future.result())

    def _close_abandoned(self, pending: _Pending, index: int) -> None:
        entry = pending.entry
        if isinstance(entry, DecisionEntry) and entry.is_allowed and not self._has_ended:
            self._keep(uitkomst_from(entry, index, "afgebroken", time_ms=_now_ms(), reason=GIVEN_UP), b"")

    async def _converse(self, sock: socket.socket) -> bool:
        """Talks until the ledger ends the connection; whether it had welcomed us. Raises as reading and writing do."""
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_READ_BYTES)
        try:
            writer.write(frame(bytes_from_message(Hello(sorted(self._unfinished)))))
            async with asyncio.timeout(WELCOME_WITHIN_S):
                first = await read_frame(reader, MAX_ANSWER_BYTES)
            if first is None or not isinstance(message_at_client(first), Welcome):
                return False
            self._begin(writer)
            while (data := await read_frame(reader, MAX_ANSWER_BYTES)) is not None:
                self._hear(message_at_client(data))
            return True
        finally:
            writer.close()

    def _begin(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._condition = ""
        self._welcomed.set()
        self._send_outcomes()

    def _send_outcomes(self) -> None:
        for pending in self._outcomes.values():
            if pending.number is None:
                self._send(pending)

    def _send(self, pending: _Pending) -> None:
        pending.number = self._next_number
        self._next_number += 1
        self._sent[pending.number] = pending
        if not self._to_write:
            asyncio.get_running_loop().call_soon(self._flush)
        append = Append(pending.number, pending.entry.kind, pending.data, pending.key)
        self._to_write.append(frame(bytes_from_message(append)))

    def _flush(self) -> None:
        """Everything of this round in one write."""
        if self._writer is not None and not self._writer.is_closing() and self._to_write:
            self._writer.write(b"".join(self._to_write))
        self._to_write.clear()

    def _hear(self, message: ToClient) -> None:
        self._is_silent = False
        match message:
            case Appended(number, index):
                self._on_appended(self._answered(number), index)
            case NotAppended(number, code):
                self._on_refused(self._answered(number), code)
            case Condition(code):
                self._condition = code
                if not code:
                    self._send_outcomes()
            case Welcome():
                raise BadMessage("welcomed twice")

    def _answered(self, number: int) -> _Pending:
        pending = self._sent.pop(number, None)
        if pending is None:
            raise BadMessage("an answer to nothing")
        pending.number = None
        return pending

    def _on_appended(self, pending: _Pending, index: int) -> None:
        request = pending.entry.request
        if isinstance(pending.entry, OutcomeEntry):
            self._drop_outcome(request)
        elif pending.entry.is_allowed:
            self._unfinished.add(request)
        if pending.is_abandoned:
            self._close_abandoned(pending, index)
        elif not pending.future.done():
            pending.future.set_result(index)

    def _on_refused(self, pending: _Pending, code: str) -> None:
        is_outcome = isinstance(pending.entry, OutcomeEntry)
        if is_outcome and code in TRANSIENT:
            return  # kept; `Condition` tells when to send it again
        if is_outcome:
            self._drop_outcome(pending.entry.request)
        if not pending.is_abandoned and not pending.future.done():
            error = _unavailable("cannot write now") if code in TRANSIENT else EntryRefused(code)
            pending.future.set_exception(error)

    def _drop_outcome(self, request: str) -> None:
        self._outcomes.pop(request, None)
        self._unfinished.discard(request)
        if not self._outcomes:
            self._settled.set()

    def _forget_connection(self) -> None:
        self._writer = None
        self._welcomed.clear()
        self._condition = ""
        self._is_silent = False
        self._to_write.clear()
        sent, self._sent = self._sent, {}
        for pending in sent.values():
            pending.number = None
            if isinstance(pending.entry, DecisionEntry) and not pending.is_abandoned and not pending.future.done():
                pending.future.set_exception(_unavailable("was lost before it answered"))

    def _end(self) -> None:
        self._has_ended = True
        for pending in self._outcomes.values():
            if not pending.future.done():
                pending.future.set_exception(_unavailable("is not connected any more"))


def _unavailable(how: str) -> LedgerUnavailable:
    return LedgerUnavailable(f"The log {how}, so nothing was done. Try again in a moment.", retry_after_s=2)


def _look_at_failure(future: asyncio.Future[int]) -> None:
    """An outcome that nobody waits for may fail unheard."""
    if not future.cancelled():
        future.exception()
