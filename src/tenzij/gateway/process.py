"""The gateway's process: from the first message on the control channel to the last outcome.

- It opens nothing: the listener comes with `Start`, every connection is asked of the supervisor.
- One task group owns the ledger's client, the register's feed, the HTTP server and the reading of the control channel.
- `Stop`: no new connections; what is in hand gets `drain_s` to finish, is then cut, and gets its outcome all the same.
- The supervisor gone: the process ends at once; the ledger closes what it leaves open.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import uvloop

from tenzij import config
from tenzij.channels.control import ChildControl, Failed, Ready, Start, Stop, Workers, close_all
from tenzij.engines.llamacpp import LlamaCpp
from tenzij.engines.protocol import Engine
from tenzij.gateway.app import App
from tenzij.gateway.edge import Edge, connections_within
from tenzij.gateway.leash import Reason
from tenzij.gateway.quiet import place_of, silence_loop, silence_process
from tenzij.gateway.server import Server
from tenzij.gateway.state import Gateway
from tenzij.identity.keys import Keyring
from tenzij.ledger.client import LedgerClient
from tenzij.policy.snapshot import Snapshot
from tenzij.register.feed import PolicyFeed
from tenzij.types import ModelId

SETTLE_S = 0.4  # for what a stop has cut to be answered, and then for its outcomes to be durable

_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}


def main(control: socket.socket) -> int:
    """Runs the gateway on its end of the control channel; the exit status."""
    silence_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's; it tells us
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(control))


async def _run(sock: socket.socket) -> int:
    silence_loop(asyncio.get_running_loop())
    control = ChildControl(sock)
    first = await control.incoming.get()
    if first is None:
        return 0
    message, descriptors = first
    if not isinstance(message, Start) or len(descriptors) != 1:
        close_all(descriptors)
        await control.send(Failed("bad_start", "The gateway was not started with one listener.", final=True))
        return 1
    listener = socket.socket(fileno=descriptors[0])
    try:
        await Process(control, message, listener).run()
    except Exception as error:  # noqa: BLE001 - reported by its place; its text may be a request's
        with contextlib.suppress(OSError):
            await control.send(Failed("internal_error", place_of(error)))
        return 1
    return 0


class Process:
    """All that lives as long as the process does."""

    def __init__(self, control: ChildControl, start: Start, listener: socket.socket) -> None:
        self._control = control
        self._listener = listener
        self._ledger = LedgerClient(self._connector("ledger"))
        self._feed = PolicyFeed(
            self._connector("register"),
            bytes.fromhex(start.config["policy_key"]),
            self._on_snapshot,
            self._on_keyring,
        )
        settings = config.Gateway.model_validate(start.config["gateway"])
        self._gateway = Gateway(settings, self._ledger, self._feed, self._engine_for_model, slots=start.config["slots"])
        self._server = Server(App(self._gateway), self._on_started, _edge())
        self._started = asyncio.Event()
        self._served = asyncio.Event()

    async def run(self) -> None:
        """Serves until it is told to stop and has stopped."""
        keep_alive(self._listener)
        try:
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(self._ledger.run(), name="ledger"),
                    tasks.create_task(self._feed.run(), name="policy feed"),
                    tasks.create_task(self._announce(), name="announce"),
                    tasks.create_task(self._follow(tasks), name="control"),
                ]
                await self._server.serve(sockets=[self._listener])
                self._served.set()
                await self._ledger.settled(SETTLE_S)
                for task in background:
                    task.cancel()
        finally:
            await self._gateway.close()
            self._control.close()

    async def _announce(self) -> None:
        await self._started.wait()
        await self._control.send(Ready())

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        while (received := await self._control.incoming.get()) is not None:
            message, descriptors = received
            close_all(descriptors)  # none is expected
            if isinstance(message, Workers):
                self._gateway.update_workers(message.workers)
            elif isinstance(message, Stop):
                tasks.create_task(self._stop(message.drain_s), name="stop")
        os._exit(0)  # nobody is left to tell, and nothing may be waited for

    async def _stop(self, drain_s: float) -> None:
        self._gateway.stopping = True
        self._server.stop()
        if not await self._is_served_within(drain_s):
            self._gateway.cut_all(Reason.STOPPING)
            if not await self._is_served_within(SETTLE_S):
                self._server.give_up()

    async def _is_served_within(self, timeout_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._served.wait(), timeout_s)
        return self._served.is_set()

    def _on_started(self) -> None:
        self._started.set()

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        self._gateway.snapshot = snapshot

    def _on_keyring(self, keyring: Keyring) -> None:
        self._gateway.replace_keyring(keyring)

    def _engine_for_model(self, model: ModelId) -> Engine:
        return LlamaCpp(self._connector(f"worker:{model}"))

    def _connector(self, to: str) -> Callable[[], Awaitable[socket.socket]]:
        return partial(self._control.connect, to)


def keep_alive(listener: socket.socket) -> None:
    """Lets the kernel notice clients whose machine vanished; accepted streams inherit it from the listener."""
    with contextlib.suppress(OSError):  # a convenience; a listener that is no TCP socket has none
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


def _edge() -> type[Edge]:
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)

    class Bounded(Edge):
        """No more connections than this process can have."""

        max_connections = connections_within(open_files)

    return Bounded
