"""The gateway as a process: its start and end, and what becomes of requests when it, or another, goes away."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from gateway.harness import eventually
from gateway.whole import whole
from tenzij.channels.control import Failed, Start, send
from tenzij.testing.worker_process import WorkerProcess

GATEWAY = "tenzij.gateway.process"


def test_a_start_without_a_listener_is_told_and_ends() -> None:
    with WorkerProcess(GATEWAY, output=subprocess.PIPE) as child:
        send(child.control, Start({"gateway": {}, "slots": 1, "policy_key": "ab" * 32}))
        failed = child.outcome()
        assert isinstance(failed, Failed)
        assert (failed.code, failed.final) == ("bad_start", True)
        assert child.process.wait(10) == 1
        assert child.process.communicate() == (b"", b"")


def test_without_its_supervisor_it_ends_without_a_word() -> None:
    with WorkerProcess(GATEWAY, output=subprocess.PIPE) as child:
        child.control.close()
        assert child.process.wait(10) == 0
        assert child.process.communicate() == (b"", b"")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return path


async def test_an_answer_through_real_processes(home: Path) -> None:
    async with whole(home, "fake") as (platform, _), platform.asks() as peer:
        status, headers, body = await peer.response()
        assert status == 200
        assert json.loads(body)["choices"][0]["message"]["content"] == "You said: een twee drie vier"
        assert headers["tenzij-locatie"] == "eigen"
        await eventually(lambda: platform.entries("uitkomst"), 5)
        assert platform.outcomes() == [("voltooid", None)]


async def test_a_stop_lets_what_is_in_hand_finish(home: Path) -> None:
    async with whole(home, "fake-slow", stop_timeout_s=8) as (platform, stop):
        async with platform.asks(stream=True) as peer:
            await peer.reader.readuntil(b"data: ")
            stop()
            received = await peer.rest(10)
        assert b"[DONE]" in received
    assert platform.outcomes() == [("voltooid", None)]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_cuts_what_does_not_finish_and_records_it(home: Path, stream: bool) -> None:
    async with whole(home, "fake-stalls", stop_timeout_s=8) as (platform, stop):
        async with platform.asks(stream=stream) as peer:
            if stream:
                await peer.reader.readuntil(b"data: ")
            else:
                await eventually(lambda: platform.entries("besluit"), 5)
            stop()
            received = await peer.rest(10)
        assert b'"code":"stopping"' in received
        assert b"[DONE]" not in received
    assert platform.outcomes() == [("afgebroken", "gateway_stopt")]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hang_up_reaches_the_real_engine_process(home: Path, stream: bool) -> None:
    async with whole(home, "fake-stalls") as (platform, _):
        async with platform.asks(stream=stream) as peer:
            await eventually(lambda: platform.entries("besluit"), 5)
            peer.cut()
        await eventually(lambda: platform.entries("uitkomst"), 2)
        assert platform.outcomes() == [("afgebroken", "client_weg")]


async def test_a_gateway_that_is_killed_leaves_no_decision_open(home: Path) -> None:
    async with whole(home, "fake-stalls") as (platform, _):
        async with platform.asks(stream=True) as peer:
            await peer.reader.readuntil(b"data: ")
            os.kill(platform.pid("gateway.process"), signal.SIGKILL)
            received = await peer.rest()
        assert b"[DONE]" not in received
        await eventually(lambda: platform.entries("uitkomst"), 10)
        assert platform.outcomes() == [("afgebroken", "gateway_weg")]
        await platform.ready()


async def test_a_ledger_that_is_killed_in_mid_stream_costs_no_answer_and_no_outcome(home: Path) -> None:
    async with whole(home, "fake-slow") as (platform, _):
        async with platform.asks(stream=True) as peer:
            await peer.reader.readuntil(b"data: ")
            os.kill(platform.pid("ledger.process"), signal.SIGKILL)
            assert b"[DONE]" in await peer.rest()
        await eventually(lambda: platform.entries("uitkomst"), 10)
        assert platform.outcomes() == [("voltooid", None)]
        await platform.ready()


async def test_a_register_that_is_killed_is_not_missed_for_a_while(home: Path) -> None:
    async with whole(home, "fake") as (platform, _):
        os.kill(platform.pid("register.process"), signal.SIGKILL)
        async with platform.asks() as peer:
            assert (await peer.response())[0] == 200


async def test_a_worker_that_dies_in_mid_stream_comes_back(home: Path) -> None:
    async with whole(home, "fake-dies") as (platform, _):
        async with platform.asks(stream=True) as peer:
            assert b'"code":"engine_error"' in await peer.rest()
        await eventually(lambda: platform.entries("uitkomst"), 5)
        assert platform.outcomes() == [("mislukt", "engine_error")]
        received = b""
        async with asyncio.timeout(20):  # until it is known to be gone it is unreachable, and then waited for
            while not received.startswith(b"HTTP/1.1 200 "):
                async with platform.asks(stream=True) as peer:
                    received = await peer.rest(20)


async def test_a_revoked_key_does_not_work_a_second_later(home: Path) -> None:
    async with whole(home, "fake") as (platform, _):
        (key,) = [each for each in await asyncio.to_thread(platform.operate, "key_list") if each["name"] == "proef"]
        await asyncio.to_thread(platform.operate, "key_revoke", id=key["id"])
        async with asyncio.timeout(1):
            while True:
                async with platform.asks() as peer:
                    if (await peer.response())[0] == 401:
                        break
