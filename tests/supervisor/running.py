"""A platform of scripted children inside a test's event loop, and the ways to speak to it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import own
from supervisor.children import POLICY_KEY
from supervisor.fake_launch import children, fake_launch
from supervisor.waiting import is_alive, until
from tenzij import config
from tenzij.supervisor import operator_socket
from tenzij.supervisor.events import ChildChanged, Event, Listening, Serving, Stopped
from tenzij.supervisor.home import Home
from tenzij.supervisor.lifecycle import State
from tenzij.supervisor.platform import Platform

__all__ = ["CONTENT", "POLICY_KEY", "Running", "model", "platform", "settings"]

CONTENT = b"GGUF and then some"


def settings(
    port: int = 0,
    stop_timeout_s: float = 2.0,
    restart_backoff_s: float = 0.01,
    restart_backoff_max_s: float = 0.05,
    **worker: Any,
) -> config.Config:
    """A free port unless one is named, and little patience."""
    return config.Config(
        gateway=config.Gateway(port=port),
        worker=config.Worker(**worker),
        supervisor=config.Supervisor(
            stop_timeout_s=stop_timeout_s,
            restart_backoff_s=restart_backoff_s,
            restart_backoff_max_s=restart_backoff_max_s,
            give_up_after=3,
        ),
    )


def model(home: Path, name: str, number: int = 1, **changed: Any) -> dict[str, Any]:
    """A model for `models.json`, with its weights in place."""
    weights = f"{number:064x}"
    (home / "models").mkdir(mode=0o700, parents=True, exist_ok=True)
    file = home / "models" / f"{weights}.gguf"
    if not file.exists():
        file.write_bytes(CONTENT)
        file.chmod(0o644)
    spec = {"model": name, "weights": weights, "size_bytes": len(CONTENT), "file": file.name}
    return {**spec, "tasks": ["chat"], "context_tokens": 512, **changed}


class Running:
    """What a test sees of a running platform."""

    def __init__(self, platform: Platform, path: Path) -> None:
        self.platform = platform
        self.home = Home(path)
        self.events: list[Event] = []

    def named(self, *models: Mapping[str, Any]) -> None:
        """What the register names at its next occasion."""
        folder = self.home.path / "register"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home.path.chmod(0o700)
        (folder / "models.json").write_text(json.dumps(models))

    def state(self, child: str) -> State | None:
        """The child's last reported state."""
        return next((e.state for e in reversed(self.events) if isinstance(e, ChildChanged) and e.child == child), None)

    def reason(self, child: str) -> str:
        """The child's last reported reason."""
        reasons = [e.reason for e in self.events if isinstance(e, ChildChanged) and e.child == child and e.reason]
        return reasons[-1] if reasons else ""

    def pid(self, child: str) -> int:
        """The child's process, as last reported."""
        pids = [e.pid for e in self.events if isinstance(e, ChildChanged) and e.child == child and e.pid]
        return pids[-1]

    async def reaches(self, child: str, state: State) -> None:
        await until(lambda: self.state(child) is state, f"{child} {state}, only {self.events}")

    async def serving(self) -> None:
        await until(lambda: any(isinstance(e, Serving) for e in self.events), f"serving, only {self.events}")

    async def says(self, line: str) -> str:
        """The gateway's answer to a line."""
        (listening,) = [e for e in self.events if isinstance(e, Listening)]
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(listening.host, listening.port)
            writer.write(line.encode() + b"\n")
            answer = (await reader.readline()).decode().strip()
            writer.close()
            await writer.wait_closed()
            return answer

    async def workers(self, **states: str) -> dict[str, Any]:
        """What the gateway was told of the workers, by model, once these and no others are in these states."""
        async with asyncio.timeout(20):
            while True:
                told = {state["model"]: state for state in json.loads(await self.says("workers"))}
                if {model: state["state"] for model, state in told.items()} == states:
                    return told
                await asyncio.sleep(0.01)

    async def operate(self, line: str = "hello") -> str:
        """The register's answer to an operator."""
        sock = operator_socket.connected(self.home)
        assert sock is not None
        sock.setblocking(False)
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_unix_connection(sock=sock)
            writer.write(line.encode() + b"\n")
            answer = (await reader.readline()).decode().strip()
            writer.close()
            await writer.wait_closed()
            return answer


@asynccontextmanager
async def platform(
    home: Path,
    chosen: config.Config | None = None,
    launch: Callable[..., Any] = fake_launch,
    prepare: Callable[[Running], object] | None = None,
    also: Mapping[str, str] = MappingProxyType({}),
    **functions: str,
) -> AsyncIterator[Running]:
    """A platform whose children are the named functions of `children.py`; stopped, and seen to leave nothing."""
    events: list[Event] = []
    running = Running(
        Platform(chosen or settings(), home, events.append, children(**functions, **also), launch),
        home,
    )
    running.events = events
    if prepare is not None:
        prepare(running)
    before = len(os.listdir("/proc/self/fd"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(running.platform.run())
        try:
            yield running
        finally:
            running.platform.stop("the test is over")
            await asyncio.wait([task])
    assert isinstance(events[-1], Stopped)
    assert not own.started()
    assert not any(is_alive(event.pid) for event in events if isinstance(event, ChildChanged) and event.pid)
    assert list(running.home.run.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before
