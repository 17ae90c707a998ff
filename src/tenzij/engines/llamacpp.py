"""llama.cpp's server, as the gateway speaks to it.

- One session for the life of the process, over connections that the supervisor hands (`handed`).
- A request is written anew (`llamacpp_requests`); no header of a client goes along.
- Hanging up is closing the connection: llama.cpp stops within one batch of the prompt, or one token.
- What the engine sends is bounded. How long it may be silent is the caller's: events come only for what the engine
  does, not for what it sends to keep a connection alive.
- Errors are our own (`faults`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from tenzij.engines.faults import BrokenAnswer, EngineUnreachable
from tenzij.engines.handed import Connect, session_over
from tenzij.engines.llamacpp_answers import AnswerReader, embedding_from
from tenzij.engines.llamacpp_refusals import fault_from_body
from tenzij.engines.llamacpp_requests import EMBEDDING_PATH, body_for, embedding_body_for, path_for
from tenzij.engines.protocol import Embedding, Event, Generation
from tenzij.engines.sse import SseParser

MAX_FRAME_BYTES: Final = 1024 * 1024
MAX_ERROR_BYTES: Final = 64 * 1024
MAX_EMBEDDING_BYTES: Final = 256 * 1024 * 1024
EVENT_STREAM: Final = "text/event-stream"


class LlamaCpp:
    """An `engines.protocol.Engine`. Made inside the running loop."""

    def __init__(self, connect: Connect) -> None:
        self._session = session_over(connect)

    async def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        """As `Engine.generate`."""
        reader = AnswerReader(generation)
        parser = SseParser(MAX_FRAME_BYTES)
        async with self._answer(path_for(generation), body_for(generation), generation) as response:
            if response.content_type != EVENT_STREAM:
                raise BrokenAnswer("The model's engine sent something unreadable.")
            async for received in _pieces(response):
                for payload in parser.feed(received):
                    for event in reader.read(payload):
                        yield event
        if not reader.is_whole:
            raise BrokenAnswer

    async def embed(self, inputs: tuple[str, ...]) -> Embedding:
        """As `Engine.embed`. llama.cpp does not notice a hang-up here: what is asked runs to its end."""
        async with self._answer(EMBEDDING_PATH, embedding_body_for(inputs), None) as response:
            content = await _content(response, MAX_EMBEDDING_BYTES)
        return embedding_from(content, len(inputs))

    async def close(self) -> None:
        """As `Engine.close`."""
        await self._session.close()

    @asynccontextmanager
    async def _answer(
        self, path: str, body: bytes, generation: Generation | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to `body`, when it is one of success; leaving closes the connection. Raises our errors."""
        headers = {"Content-Type": "application/json"}
        try:
            response = await self._session.post(path, data=body, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError):
            raise EngineUnreachable from None
        try:
            if response.status != 200:
                raise fault_from_body(await _content(response, MAX_ERROR_BYTES), generation)
            yield response
        finally:
            response.close()  # whether or not it was read to its end: this is what hanging up is


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The response's bytes as they come."""
    try:
        async for received in response.content.iter_any():
            yield received
    except (aiohttp.ClientError, OSError):
        raise BrokenAnswer from None


async def _content(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """The whole body. Raises BrokenAnswer when it is larger than `most_bytes`, or stops early."""
    content = bytearray()
    async for received in _pieces(response):
        content += received
        if len(content) > most_bytes:
            raise BrokenAnswer("The model's engine sent something too large.")
    return bytes(content)
