"""An engine's events -> a client's answer, whole or streamed. The place where gateways break.

- One event in hand at a time: nothing is read ahead of a client that does not read (pitfall 7). A whole answer is
  gathered up to `MAX_ANSWER_CHARS`.
- The status line is sent with the first text, so that an engine that fails before it is still a proper error.
- An iterator that was begun is closed, whatever happens: closing is what frees the engine (pitfalls 1 and 2).
- It neither catches nor records: errors and cuts go up to the journey.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any, ParamSpec

from tenzij.engines.faults import BrokenAnswer
from tenzij.engines.protocol import Event, Finish, Text
from tenzij.gateway.answers import DONE, Whole, Wording
from tenzij.gateway.asgi import Headers
from tenzij.gateway.exchange import Exchange
from tenzij.gateway.leash import Leash
from tenzij.gateway.tally import Tally

MAX_ANSWER_CHARS = 16 * 1024 * 1024

P = ParamSpec("P")


class Relay:
    """One answer on its way."""

    def __init__(self, exchange: Exchange, wording: Wording, headers: Headers, leash: Leash, tally: Tally) -> None:
        self._exchange = exchange
        self._wording = wording
        self._headers = headers
        self._leash = leash
        self._tally = tally

    async def whole(self, events: AsyncGenerator[Event, None]) -> None:
        """Gathers the answer and sends it as one object."""
        texts: list[str] = []
        logprobs: list[Mapping[str, Any]] = []
        size = 0
        finish: Finish | None = None
        async with self._following(events) as following:
            async for event in following:
                self._hear(event)
                if isinstance(event, Text):
                    texts.append(event.text)
                    size += len(event.text)
                    if size > MAX_ANSWER_CHARS:
                        raise BrokenAnswer("The model's answer did not end.")
                    if event.logprobs is not None:
                        logprobs.append(event.logprobs)
                finish = event if isinstance(event, Finish) else finish
            answer = _whole("".join(texts), finish, logprobs)
            self._leash.turn_of_client()
            await self._exchange.respond_bytes(200, _spelled(self._wording.whole, answer), self._headers)
            self._tally.complete()

    async def stream(self, events: AsyncGenerator[Event, None], *, include_usage: bool) -> None:
        """Sends each piece as it comes."""
        finish: Finish | None = None
        async with self._following(events) as following:
            async for event in following:
                self._hear(event)
                if isinstance(event, Text):
                    self._leash.turn_of_client()
                    await self._open()
                    await self._exchange.send(_spelled(self._wording.piece, event.text, event.logprobs))
                    self._leash.turn_of_engine()
                finish = event if isinstance(event, Finish) else finish
            answer = _whole("", finish, ())
            self._leash.turn_of_client()
            await self._open()
            await self._exchange.send(self._wording.ending(answer.reason))
            if include_usage:
                await self._exchange.send(self._wording.usage(answer.usage))
            await self._exchange.end_stream(DONE)
            self._tally.complete()

    @contextlib.asynccontextmanager
    async def _following(self, events: AsyncGenerator[Event, None]) -> AsyncIterator[AsyncGenerator[Event, None]]:
        self._leash.watch_silence()
        async with contextlib.aclosing(events):
            yield events

    def _hear(self, event: Event) -> None:
        self._tally.note(event)
        self._leash.turn_of_engine()

    async def _open(self) -> None:
        if not self._exchange.started:
            await self._exchange.begin_stream(self._headers)
            if opening := self._wording.opening():
                await self._exchange.send(opening)


def _whole(text: str, finish: Finish | None, logprobs: Sequence[Mapping[str, Any]]) -> Whole:
    if finish is None:
        raise BrokenAnswer
    return Whole(text, finish.reason, finish.usage, logprobs)


def _spelled(write: Callable[P, bytes], *arguments: P.args, **named: P.kwargs) -> bytes:
    try:
        return write(*arguments, **named)
    except UnicodeEncodeError:  # an engine's half of a surrogate pair
        raise BrokenAnswer("The model's engine sent text that is no text.") from None
