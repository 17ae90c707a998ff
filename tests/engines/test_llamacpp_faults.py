"""The adapter against a fake engine that misbehaves: our errors, no text of theirs, and no connection left behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from engines.asking import chat, completion, events_of, finish_of, text_of
from tenzij.channels.control import Refusal
from tenzij.engines.faults import BrokenAnswer, ContextTooLong, EngineFailed, EngineUnreachable, UnusableMessages
from tenzij.engines.llamacpp import LlamaCpp
from tenzij.engines.protocol import Counted, Progress, Text, Usage
from tenzij.engines.sse import BadStream
from tenzij.errors import TenzijError
from tenzij.testing.fake_server import FakeEngine
from tenzij.testing.misbehaviour import Misbehaviour as Bad

CANARY = "kanarie-3f9a"
PROMPT = f"een {CANARY} twee drie vier"


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Waits for what another task brings about."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 (the fake has no event for it)
            await asyncio.sleep(0)


async def test_a_good_answer_of_a_fake_engine() -> None:
    async with FakeEngine(script=["a", "b", "c"]) as fake:
        engine = LlamaCpp(fake.connect)
        events = await events_of(engine, chat("hoi"))
        await engine.close()
        assert events[:3] == [Progress(0, 2), Progress(2, 2), Counted(Usage(2, 0))]
        assert text_of(events) == "abc"
        assert finish_of(events).usage == Usage(2, 3)
        assert (fake.seen.finished, fake.seen.aborted) == (1, 0)


async def test_nothing_of_ours_travels_in_headers() -> None:
    async with FakeEngine() as fake:
        engine = LlamaCpp(fake.connect)
        await events_of(engine, chat("hoi"))
        await engine.close()
        (headers,) = fake.seen.headers
        assert headers.keys() == {"host", "accept", "content-type", "content-length", "connection"}
        assert headers["host"] == "engine"


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (Bad.CUT, BrokenAnswer),
        (Bad.GARBAGE_BYTES, BadStream),
        (Bad.GARBAGE_JSON, BrokenAnswer),
        (Bad.OVERSIZE_FRAME, BadStream),
        (Bad.NO_DONE, BrokenAnswer),
        (Bad.NO_FINISH, BrokenAnswer),
        (Bad.NO_USAGE, BrokenAnswer),
        (Bad.WRONG_TYPE, BrokenAnswer),
        (Bad.ECHOES_ERROR, UnusableMessages),
        (Bad.ECHOES_LATE, EngineFailed),
        (Bad.TOO_LONG, ContextTooLong),
        (Bad.FAILS, EngineFailed),
    ],
)
async def test_each_misbehaviour_is_our_error(bad: Bad, fault: type[TenzijError]) -> None:
    async with FakeEngine(bad) as fake:
        engine = LlamaCpp(fake.connect)
        with pytest.raises(fault) as caught:
            await events_of(engine, chat(PROMPT))
        await engine.close()
        await until(lambda: fake.seen.active == 0)
    error: BaseException | None = caught.value
    while error is not None:  # a traceback that is shown or logged shows the causes as well
        assert CANARY not in str(error)
        assert error.__suppress_context__ or error.__context__ is None
        error = error.__cause__


async def test_what_was_heard_before_a_fault_was_passed_on() -> None:
    async with FakeEngine(Bad.CUT) as fake:
        engine = LlamaCpp(fake.connect)
        texts = []
        with pytest.raises(BrokenAnswer):
            async for event in engine.generate(chat(PROMPT)):
                if isinstance(event, Text):
                    texts.append(event.text)
        await engine.close()
    assert texts == ["You ", "said: "]


@pytest.mark.parametrize("bad", [Bad.STALLS, Bad.SILENT])
async def test_a_cancelled_answer_hangs_up(bad: Bad) -> None:
    async with FakeEngine(bad) as fake:
        engine = LlamaCpp(fake.connect)
        task = asyncio.get_running_loop().create_task(events_of(engine, chat(PROMPT)))
        await until(lambda: fake.seen.active == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: fake.seen.aborted == 1)
        assert fake.seen.active == 0
        await engine.close()


async def test_a_closed_answer_hangs_up() -> None:
    async with FakeEngine(Bad.STALLS) as fake:
        engine = LlamaCpp(fake.connect)
        async with aclosing(engine.generate(chat(PROMPT))) as events:
            async for event in events:
                if isinstance(event, Text):
                    break
        await until(lambda: fake.seen.aborted == 1)
        await engine.close()


async def test_an_answer_that_nobody_begins_asks_nothing() -> None:
    async with FakeEngine() as fake:
        engine = LlamaCpp(fake.connect)
        await engine.generate(chat("hoi")).aclose()
        await engine.close()
        assert fake.seen.paths == []


async def test_many_at_once_are_not_queued_here() -> None:
    """aiohttp's own limit is 100."""
    async with FakeEngine(Bad.STALLS) as fake:
        engine = LlamaCpp(fake.connect)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(events_of(engine, chat(str(number)))) for number in range(150)]
        await until(lambda: fake.seen.active == 150, timeout_s=20)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await until(lambda: fake.seen.aborted == 150, timeout_s=20)
        await engine.close()


def failing(error: Exception) -> Callable[[], Awaitable[socket.socket]]:
    async def connect() -> socket.socket:
        raise error

    return connect


@pytest.mark.parametrize("error", [Refusal("the worker is not ready"), ConnectionRefusedError(), BlockingIOError()])
async def test_no_connection_is_unavailable_for_now(error: Exception) -> None:
    engine = LlamaCpp(failing(error))
    with pytest.raises(EngineUnreachable) as caught:
        await events_of(engine, completion("hoi"))
    assert (caught.value.status, caught.value.retry_after_s) == (503, 2)
    with pytest.raises(EngineUnreachable):
        await engine.embed(("a",))
    await engine.close()


async def test_a_connection_that_is_closed_at_once_is_unavailable() -> None:
    async def connect() -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.close()
        ours.setblocking(False)
        return ours

    engine = LlamaCpp(connect)
    with pytest.raises(EngineUnreachable):
        await events_of(engine, chat("hoi"))
    await engine.close()


async def test_embeddings() -> None:
    async with FakeEngine() as fake:
        engine = LlamaCpp(fake.connect)
        found = await engine.embed(("een", "twee drie"))
        again = await engine.embed(("twee drie",))
        await engine.close()
    assert found.vectors[1:] == again.vectors
    assert found.prompt_tokens == 3


@pytest.mark.parametrize(
    ("bad", "fault"), [(Bad.FAILS, EngineFailed), (Bad.WRONG_TYPE, BrokenAnswer), (Bad.TOO_LONG, ContextTooLong)]
)
async def test_embeddings_that_fail(bad: Bad, fault: type[TenzijError]) -> None:
    async with FakeEngine(bad) as fake:
        engine = LlamaCpp(fake.connect)
        with pytest.raises(fault) as caught:
            await engine.embed((CANARY,))
        await engine.close()
    assert CANARY not in str(caught.value)
