"""The gateway over TCP with the real adapter and a fake llama.cpp that misbehaves: every end has one outcome."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random  # noqa: TID251 - seeded, for a test
import socket
from collections.abc import AsyncIterator, Sequence

import pytest

from gateway.harness import World, chat, eventually
from gateway.served import connected, parsed_head, request, served
from tenzij.engines.llamacpp import LlamaCpp
from tenzij.gateway.app import App
from tenzij.gateway.state import Gateway
from tenzij.testing.fake_server import FakeEngine
from tenzij.testing.misbehaviour import Misbehaviour as Bad

CANARY = "kanarie-piet-4711"


@contextlib.asynccontextmanager
async def platform(
    *bad: Bad, script: Sequence[str] | None = None, pause_s: float = 0.01, silence_timeout_s: float = 60.0
) -> AsyncIterator[tuple[World, FakeEngine, tuple[str, int]]]:
    """A gateway on TCP before a fake llama.cpp."""
    world = World(silence_timeout_s=silence_timeout_s)
    async with FakeEngine(*bad, script=script, pause_s=pause_s) as fake:

        async def connect() -> socket.socket:
            # The fake's own `connect` forgets its ends when it is cancelled halfway.
            connecting = asyncio.get_running_loop().create_task(fake.connect())
            try:
                return await asyncio.shield(connecting)
            except asyncio.CancelledError:
                connecting.add_done_callback(lambda done: done.result().close())
                raise

        engine = LlamaCpp(connect)
        old = world.gateway
        world.gateway = Gateway(old.settings, world.log, world.policy, lambda _: engine, old.outside, slots=200)
        world.gateway.snapshot, world.gateway.keyring = old.snapshot, old.keyring
        world.workers("ready")
        world.app = App(world.gateway)
        try:
            async with served(world) as address:
                yield world, fake, address
        finally:
            await world.gateway.close()
            await engine.close()


async def ask(address: tuple[str, int], **fields: object) -> tuple[int, bytes]:
    """Status and everything behind the head."""
    async with connected(address, limit=1 << 20) as peer:
        peer.writer.write(request(chat(**fields), extra="Connection: close\r\n"))
        head, _, rest = (await peer.rest()).partition(b"\r\n\r\n")
        return parsed_head(head)[0], rest


async def test_an_answer_of_both_deliveries() -> None:
    async with platform() as (world, fake, address):
        status, body = await ask(address)
        assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "You said: Dag")
        status, body = await ask(address, stream=True)
        assert (status, body.count(b"data: "), b"data: [DONE]" in body) == (200, 6, True)
    assert [outcome.result for outcome in world.log.outcomes] == ["voltooid", "voltooid"]
    assert fake.seen.active == 0


async def test_pitfall_17_and_18_no_header_of_a_client_reaches_an_engine() -> None:
    async with platform() as (_, fake, address):
        async with connected(address) as peer:
            extra = "".join(f"{name}: {CANARY}\r\n" for name in ("X-A", "Cookie", "Traceparent", "User-Agent"))
            peer.writer.write(request(extra=extra))
            assert (await peer.response())[0] == 200
        assert CANARY not in str(fake.seen)
        assert "authorization" not in fake.seen.headers[0]
        assert set(fake.seen.headers[0]) <= {"host", "content-type", "content-length", "accept", "connection"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("bad", [Bad.SLOW, Bad.STALLS, Bad.SILENT])
async def test_pitfall_1_and_2_an_engine_sees_the_hang_up_within_a_second(bad: Bad, stream: bool) -> None:
    async with platform(bad, script=["a"] * 200, pause_s=0.05) as (world, fake, address):
        async with connected(address) as peer:
            peer.writer.write(request(chat(stream=stream)))
            await eventually(lambda: fake.seen.active)
            peer.cut()
            await eventually(lambda: fake.seen.aborted == 1, 1.0)
        await eventually(lambda: world.log.outcomes)
        assert world.log.outcome == ("afgebroken", "client_weg")
        assert fake.seen.active == 0


ENDS = {
    Bad.CUT: (502, "engine_error"),
    Bad.GARBAGE_BYTES: (502, "engine_error"),
    Bad.GARBAGE_JSON: (502, "engine_error"),
    Bad.OVERSIZE_FRAME: (502, "engine_error"),
    Bad.NO_DONE: (502, "engine_error"),
    Bad.NO_FINISH: (502, "engine_error"),
    Bad.NO_USAGE: (502, "engine_error"),
    Bad.WRONG_TYPE: (502, "engine_error"),
    Bad.ECHOES_LATE: (502, "engine_error"),
    Bad.FAILS: (502, "engine_error"),
    Bad.ECHOES_ERROR: (400, "invalid_messages"),
    Bad.TOO_LONG: (400, "context_length_exceeded"),
    Bad.STALLS: (504, "engine_silent"),
    Bad.SILENT: (504, "engine_silent"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("bad", ENDS)
async def test_each_misbehaviour_has_one_clear_end(bad: Bad, stream: bool) -> None:
    async with platform(bad, script=["een ", "twee ", CANARY], silence_timeout_s=0.2) as (world, fake, address):
        messages = [{"role": "user", "content": CANARY}]
        status, body = await ask(address, stream=stream, messages=messages)
        code = ENDS[bad][1]
        assert status in ((ENDS[bad][0], 200) if stream else (ENDS[bad][0],))
        assert f'"code":"{code}"'.encode() in body
        assert b"[DONE]" not in body
        error = body[body.rindex(b'{"error"') :]
        assert CANARY.encode() not in error
        await eventually(lambda: world.log.outcomes)
        assert world.log.outcome == ("mislukt", code)
        await eventually(lambda: fake.seen.active == 0)
        assert not world.gateway.in_flight


async def test_pitfall_11_more_than_a_hundred_at_the_same_time() -> None:
    async with platform(Bad.STALLS) as (world, fake, address), contextlib.AsyncExitStack() as peers:
        for _ in range(150):
            peer = await peers.enter_async_context(connected(address))
            peer.writer.write(request(chat(stream=True)))
        await eventually(lambda: fake.seen.active == 150, 20)
        await peers.aclose()
        await eventually(lambda: fake.seen.active == 0, 20)
        await eventually(lambda: len(world.log.outcomes) == 150, 5)


async def test_pitfall_3_to_6_aborts_at_random_moments_leave_one_outcome_each() -> None:
    chance = random.Random(4711)  # noqa: S311
    async with platform(Bad.SLOW, script=["woord "] * 8, pause_s=0.002) as (world, fake, address):

        async def one() -> None:
            async with connected(address) as peer:
                sent = request(chat(stream=chance.random() < 0.5))
                peer.writer.write(sent)
                await asyncio.sleep(chance.random() * 0.06)
                peer.cut()

        for _ in range(6):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(50):
                    tasks.create_task(one())
        await eventually(lambda: fake.seen.active == 0 and len(world.log.outcomes) == len(world.log.decisions) > 100, 5)
        recorded = [decision.request for decision in world.log.decisions]
        assert sorted(outcome.request for outcome in world.log.outcomes) == sorted(recorded)
        results = {outcome.result for outcome in world.log.outcomes}
        assert results == {"voltooid", "afgebroken"}
        await eventually(lambda: fake.seen.active == 0)
        assert not world.gateway.in_flight
