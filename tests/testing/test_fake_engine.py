"""The fake engine as a worker program: it behaves, and misbehaves in each way that it has a flag for."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tenzij.channels.control import Failed, Ready, receive_at_supervisor
from tenzij.engines.llamacpp import LlamaCpp
from tenzij.engines.protocol import Finish, Generation, Message, Text
from tenzij.testing.misbehaviour import Misbehaviour, misbehaviours_of
from tenzij.testing.worker_process import FAKE, WorkerProcess, worker_config
from tenzij.types import Task

CONTENT = b"any bytes"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HELLO = Generation(Task.CHAT, (Message("user", "hello there"),))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / f"{DIGEST}.gguf"
    path.write_bytes(CONTENT)
    return path


@contextmanager
def running(weights: Path, model: str, **changes: Any) -> Iterator[WorkerProcess]:
    with WorkerProcess(FAKE) as worker:
        worker.start(worker_config(weights, DIGEST, model=model, **changes))
        yield worker


async def seen_by(worker: WorkerProcess) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(sock=await worker.connect())
    writer.write(b"GET /fake/seen HTTP/1.1\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    seen: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return seen


async def test_it_behaves_and_tells_what_it_saw(weights: Path) -> None:
    with running(weights, "fake") as worker:
        assert worker.outcome() == Ready({"weights": DIGEST, "verification": "gehasht"})
        engine = LlamaCpp(worker.connect)
        events = [event async for event in engine.generate(HELLO)]
        await engine.close()
        assert "".join(event.text for event in events if isinstance(event, Text)) == "You said: hello there"
        assert isinstance(events[-1], Finish)
        seen = await seen_by(worker)
        assert seen["bodies"][0]["messages"] == [{"role": "user", "content": "hello there"}]
        assert (seen["finished"], seen["aborted"], seen["active"]) == (1, 0, 0)
        assert worker.stop() == 0


def test_it_stops_when_the_supervisor_is_gone(weights: Path) -> None:
    with running(weights, "fake") as worker:
        assert isinstance(worker.outcome(), Ready)
        worker.control.close()
        assert worker.process.wait(5) == 0


def test_it_verifies_weights_as_the_real_one(weights: Path) -> None:
    weights.write_bytes(CONTENT[::-1])
    with running(weights, "fake") as worker:
        failed = worker.outcome()
        assert isinstance(failed, Failed)
        assert (failed.code, failed.final) == ("weights_mismatch", True)


def test_never_ready(weights: Path) -> None:
    with running(weights, "fake-never-ready") as worker, pytest.raises(TimeoutError):
        worker.outcome(timeout_s=1.0)


@pytest.mark.parametrize(("model", "final"), [("fake-fails-to-start", False), ("fake-fails-finally", True)])
def test_fails(weights: Path, model: str, final: bool) -> None:
    with running(weights, model) as worker:
        failed = worker.outcome()
        assert isinstance(failed, Failed)
        assert failed.final is final
        assert worker.process.wait(5) == 1


def test_exits_at_start(weights: Path) -> None:
    with running(weights, "fake-exits-at-start") as worker:
        assert worker.outcome() is None
        assert worker.process.wait(5) == 70


def test_sigterm_ends_it_unless_it_ignores_that(weights: Path) -> None:
    with running(weights, "fake") as worker, running(weights, "fake-ignores-sigterm") as deaf:
        for each in (worker, deaf):
            assert isinstance(each.outcome(), Ready)
            each.process.terminate()
        assert worker.process.wait(5) == -signal.SIGTERM
        assert deaf.stop() == 0, "it was still there to be told"


def test_ignores_stop_and_the_end_of_its_supervisor(weights: Path) -> None:
    with running(weights, "fake-ignores-stop") as worker:
        assert isinstance(worker.outcome(), Ready)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.stop(timeout_s=1.0)


@pytest.mark.parametrize(
    ("model", "kind"), [("fake-sends-link", stat.S_ISLNK), ("fake-sends-file", stat.S_ISREG), ("fake", stat.S_ISSOCK)]
)
def test_sends_a_link_or_a_file_for_its_socket(weights: Path, model: str, kind: Any) -> None:
    with running(weights, model) as worker:
        worker.control.settimeout(30)
        received = receive_at_supervisor(worker.control)
        if received is None:
            raise RuntimeError("the worker said nothing")
        (descriptor,) = received[1]
        assert kind(os.fstat(descriptor).st_mode)
        os.close(descriptor)


def test_sends_nothing_for_its_socket(weights: Path) -> None:
    with running(weights, "fake-sends-nothing") as worker:
        assert isinstance(worker.outcome(), Ready)
        assert worker.endpoint is None


def test_names_other_weights(weights: Path) -> None:
    with running(weights, "fake-wrong-weights") as worker:
        ready = worker.outcome()
        assert isinstance(ready, Ready)
        assert ready.facts["weights"] == "0" * 64


async def test_dies_in_the_middle(weights: Path) -> None:
    with running(weights, "fake-dies") as worker:
        assert isinstance(worker.outcome(), Ready)
        engine = LlamaCpp(worker.connect)
        texts = []
        with pytest.raises(Exception, match="stopped in the middle"):
            async for event in engine.generate(HELLO):
                if isinstance(event, Text):
                    texts.append(event.text)
        await engine.close()
        assert len(texts) == 2
        assert worker.process.wait(5) == 70


def test_flags_are_read_from_a_model_id() -> None:
    assert misbehaviours_of("fake") == frozenset()
    assert misbehaviours_of("fake-slow.no-done") == {Misbehaviour.SLOW, Misbehaviour.NO_DONE}
    assert misbehaviours_of("smollm2-135m-instruct") == frozenset()
    with pytest.raises(ValueError, match="nonsense"):
        misbehaviours_of("fake-nonsense")
