"""The platform with its real children, confined, and engines that misbehave: each is given up alone, and says why."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

import own
from supervisor.waiting import is_alive, until
from tenzij import config
from tenzij.engines.passport import default_passport
from tenzij.passport import tree_from_passport
from tenzij.register.operator import OperatorClient
from tenzij.supervisor.events import ChildChanged, Event, Serving, Stopped
from tenzij.supervisor.lifecycle import State
from tenzij.supervisor.platform import Platform
from tenzij.supervisor.session import operator_connection

MISBEHAVING = {
    "fake-sends-link": "the program failed: OSError",  # confined, it cannot even make a link
    "fake-sends-file": "not a socket",
    "fake-sends-nothing": "0 descriptors",
    "fake-wrong-weights": "other weights",
    "fake-exits-at-start": "ended with status",
    "fake-fails-to-start": "told to fail",
    "fake-fails-finally": "told to fail",
    "fake-never-ready": "not ready within 4 seconds",
}
STAYING = ["fake", "fake-ignores-stop", "fake-ignores-sigterm.ignores-stop"]
SETTINGS = config.Config(
    gateway=config.Gateway(port=0, engine_wait_s=0.5),
    worker=config.Worker(start_timeout_s=4.0),
    supervisor=config.Supervisor(
        stop_timeout_s=3.0, restart_backoff_s=0.05, restart_backoff_max_s=0.1, give_up_after=2
    ),
)


def passport(home: Path, model: str) -> dict[str, Any]:
    """A passport for a fake model, whose weights are its name; they are put in place."""
    content = model.encode()
    sha256 = hashlib.sha256(content).hexdigest()
    (home / "models").mkdir(mode=0o700, parents=True, exist_ok=True)
    file = home / "models" / f"{sha256}.gguf"
    file.write_bytes(content)
    file.chmod(0o444)
    stated = tree_from_passport(default_passport())
    return {**stated, "id": model, "file": {**stated["file"], "sha256": sha256, "size_bytes": len(content)}}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with all fake models admitted, and a key in `key`."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    passports = [passport(home, model) for model in [*MISBEHAVING, *STAYING]]
    with operator_connection(SETTINGS, home) as stream:
        register = OperatorClient(stream)
        for stated in passports:
            register.call("model_add", passport=stated)
        made = register.call("key_create", name="test", use_cases=["verkenning"], days=1, loopback_only=True)
    (tmp_path / "key").write_text(made["key"])
    yield home
    assert list((home / "run").iterdir()) == []


class Running:
    """A running platform: what it reported, and how to ask it something."""

    def __init__(self, home: Path) -> None:
        self.events: list[Event] = []
        self.platform = Platform(SETTINGS, home, self.events.append, {"worker": "tenzij.testing.fake_engine"})
        self._headers = {"Authorization": f"Bearer {(home.parent / 'key').read_text()}"}

    def last(self, model: str) -> ChildChanged | None:
        found = [e for e in self.events if isinstance(e, ChildChanged) and e.child == f"worker:{model}"]
        return found[-1] if found else None

    def are(self, models: list[str], state: State) -> bool:
        return all((last := self.last(model)) is not None and last.state is state for model in models)

    async def ask(self, model: str) -> httpx.Response:
        (serving,) = [e for e in self.events if isinstance(e, Serving)]
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
        async with httpx.AsyncClient(headers=self._headers, timeout=30) as client:
            return await client.post(f"{serving.url}/v1/chat/completions", json=body)


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[Running]:
    it = Running(home)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(it.platform.run())
        try:
            await until(lambda: any(isinstance(e, Serving) for e in it.events), f"serving, only {it.events}", 60)
            yield it
        finally:
            it.platform.stop("the test is over")
            await asyncio.wait([task])


async def test_each_misbehaving_engine_is_given_up_alone_with_its_reason(home: Path) -> None:
    async with running(home) as it:
        await until(lambda: it.are([*MISBEHAVING], State.GIVEN_UP), f"given up, only {it.events}", 90)
        await until(lambda: it.are(STAYING, State.READY), f"ready, only {it.events}", 60)
        for model, why in MISBEHAVING.items():
            last = it.last(model)
            assert last is not None
            assert why in last.reason, model
            refused = await it.ask(model)
            assert refused.status_code == 503, model
            assert str(home) not in refused.text
        for model in STAYING:
            answer = await it.ask(model)
            assert answer.status_code == 200, answer.text
            assert answer.headers["Tenzij-Locatie"] == "eigen"
    assert it.events[-1] == Stopped()


async def test_engines_that_stay_are_gone_in_time(home: Path) -> None:
    async with running(home) as it:
        await until(lambda: it.are(STAYING, State.READY), f"ready, only {it.events}", 60)
        below = own.started()
        began = asyncio.get_running_loop().time()
        it.platform.stop("enough")
        await until(lambda: any(isinstance(e, Stopped) for e in it.events), "stopped")
        assert asyncio.get_running_loop().time() - began < 3.5
    assert it.events[-1] == Stopped()
    assert not any(map(is_alive, below))
