"""What ends a request before its answer is whole: one scope, and whoever pulls first decides why.

- All work for a request between its decision and its outcome happens inside a leash. Pulling cancels what runs there,
  and leaves the scope with `Cut`; a cancel from elsewhere stays a CancelledError.
- It pulls again until the scope is left: a cancel gets lost where it meets a result (`asyncio.wait_for` before Python
  3.12) or is turned into another error on its way out.
- Silence is measured at both ends: an engine that says nothing is SILENT, a client that takes nothing is STALLED.
- It costs a timer for each request, none for each token.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from types import TracebackType
from typing import Self

PULL_AGAIN_S = 0.05


class Reason(Enum):
    """Why a request was cut."""

    CLIENT_GONE = "client_gone"
    CLIENT_STALLED = "client_stalled"
    ENGINE_SILENT = "engine_silent"
    TOO_LONG = "answer_timeout"
    STOPPING = "stopping"
    KEY_REVOKED = "revoked_api_key"
    KEY_EXPIRED = "expired_api_key"


class Cut(Exception):
    """The leash was pulled."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Leash:
    """An async context manager, to be entered once, by the task whose work it bounds."""

    def __init__(self, answer_timeout_s: float, silence_timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer_timeout_s = answer_timeout_s
        self._silence_timeout_s = silence_timeout_s
        self._reason: Reason | None = None
        self._task: asyncio.Task[object] | None = None  # set while the scope runs
        self._cancels = 0  # ours, to be taken back
        self._cancels_before = 0  # not ours
        self._heard = 0.0
        self._to_client = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        self._cancels_before = self._task.cancelling() if self._task is not None else 0
        self._timers["answer"] = self._loop.call_later(self._answer_timeout_s, self.pull, Reason.TOO_LONG)
        if self._reason is not None:  # pulled before it was worn
            self._cancel()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        for timer in self._timers.values():
            timer.cancel()
        if task is None or self._reason is None or not self._cancels:
            return
        for _ in range(self._cancels):
            task.uncancel()
        if _ended_by_cancel(error, is_ours=task.cancelling() <= self._cancels_before):
            raise Cut(self._reason) from None

    def pull(self, reason: Reason) -> None:
        """Ends what runs in the scope. Only the first reason counts; after the scope's end it does nothing."""
        if self._reason is None:
            self._reason = reason
            self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._cancels += 1
            self._task.cancel()
            self._timers["again"] = self._loop.call_later(PULL_AGAIN_S, self._cancel)

    def watch_silence(self) -> None:
        """From here on something must be heard every `silence_timeout_s`."""
        self._heard = self._loop.time()
        self._timers["silence"] = self._loop.call_later(self._silence_timeout_s, self._look)

    def turn_of_client(self) -> None:
        """Something was heard; now the client has to take it."""
        self._heard = self._loop.time()
        self._to_client = True

    def turn_of_engine(self) -> None:
        """Something was heard; now the engine has to go on."""
        self._heard = self._loop.time()
        self._to_client = False

    def _look(self) -> None:
        left_s = self._heard + self._silence_timeout_s - self._loop.time()
        if left_s > 0:
            self._timers["silence"] = self._loop.call_later(left_s, self._look)
        else:
            self.pull(Reason.CLIENT_STALLED if self._to_client else Reason.ENGINE_SILENT)


def _ended_by_cancel(error: BaseException | None, *, is_ours: bool) -> bool:
    """Whether a scope that was pulled ended by that. Any error then counts: a library may make one of a cancel."""
    return isinstance(error, Exception) or (isinstance(error, asyncio.CancelledError) and is_ours)
