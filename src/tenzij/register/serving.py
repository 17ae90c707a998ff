"""One connection's conversation, by role: the feed to the gateway, the operator's requests.

Rules
- A feed that does not take what it is sent within `STUCK_S` is dropped: the gateway connects anew.
- A feed never waits for the database; it looks at the board.
- An operator's request that was begun is finished, also when the operator goes away meanwhile.
- What is answered was published before: a revocation that was confirmed is on its way to every feed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

from tenzij.channels.frames import BadFrame, frame, read_frame
from tenzij.errors import TenzijError
from tenzij.register.board import Board
from tenzij.register.protocol import (
    BEAT_S,
    MAX_REQUEST_BYTES,
    UNREADABLE,
    Answer,
    Beat,
    Fault,
    FeedMessage,
    Hello,
    KeysChanged,
    Request,
    VersionChanged,
    encode_feed,
    encode_json,
    entry_from_record,
    entry_from_version,
    request_decoder,
)
from tenzij.register.refusals import BadCall
from tenzij.register.register import Published

STUCK_S = 10.0
IDLE_S = 300.0

Perform = Callable[[Request], Awaitable[Any]]
InHand = Callable[[], AbstractContextManager[None]]  # held from a request's begin until its answer is sent


async def serve_feed(writer: asyncio.StreamWriter, board: Board, pepper: bytes) -> None:
    """Sends everything, then each change at once and a beat each second. Ends when the other end does."""
    seen = board.published
    hello = Hello(pepper, entry_from_version(seen.version), [entry_from_record(each) for each in seen.keys])
    with contextlib.suppress(OSError, TimeoutError):
        await _send(writer, encode_feed(hello))
        while True:
            latest = await board.newer(seen, BEAT_S)
            for message in _changes(seen, latest) or [Beat()]:
                await _send(writer, encode_feed(message))
            seen = latest


def _changes(before: Published, after: Published) -> list[FeedMessage]:
    changes: list[FeedMessage] = []
    if after.keys != before.keys:  # first: it may be a revocation
        changes.append(KeysChanged([entry_from_record(each) for each in after.keys]))
    if after.version != before.version:
        changes.append(VersionChanged(entry_from_version(after.version)))
    return changes


async def serve_operator(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, perform: Perform, in_hand: InHand
) -> None:
    """Answers requests in their order until the operator goes away or is silent for `IDLE_S`."""
    with contextlib.suppress(OSError, TimeoutError, BadFrame):
        while True:
            async with asyncio.timeout(IDLE_S):
                payload = await read_frame(reader, MAX_REQUEST_BYTES)
            if payload is None:
                return
            with in_hand():
                await _send(writer, encode_json(await _answer(payload, perform)))


async def _answer(payload: bytes, perform: Perform) -> Answer:
    try:
        try:
            request = request_decoder.decode(payload)
        except UNREADABLE:
            raise BadCall("The request cannot be read. Is the command line of the same release?") from None
        return Answer(result=await perform(request))
    except TenzijError as error:
        return Answer(fault=Fault(error.code, error.message, error.status, error.param))
    except Exception as error:  # noqa: BLE001  a defect of ours in one verb must not take the gateway's policy away
        message = f"The register failed on this ({type(error).__name__}); nothing was changed. Please report it."
        return Answer(fault=Fault("internal_error", message, 500))


async def _send(writer: asyncio.StreamWriter, payload: bytes) -> None:
    writer.write(frame(payload))
    async with asyncio.timeout(STUCK_S):
        await writer.drain()
