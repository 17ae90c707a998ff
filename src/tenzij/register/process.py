"""The register's process: `main(control)`. Speaks to the supervisor, hands connections to their conversation.

Rules
- The database belongs to one thread of its own; everything else lives in the event loop and never waits for a disk.
- A connection is served by the role that the supervisor gave it: "gateway" the feed, "operator" the verbs. Any other is
  closed unread.
- The supervisor is told of the models after `Ready` and at each change, before the operator has the answer.
- The end of the control channel ends the process at once. `Stop` lets the request in hand finish first.
- A start that cannot be is told as `Failed`, with a sentence; it holds no stored value.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tenzij.channels.control import Accept, ChildControl, Failed, Models, Ready, Start, Stop, ToChild, close_all
from tenzij.register.board import Board
from tenzij.register.protocol import Request
from tenzij.register.refusals import RegisterFailed
from tenzij.register.register import Register, opened_register
from tenzij.register.serving import serve_feed, serve_operator
from tenzij.register.verbs import perform

MAX_CONNECTIONS = 32


def main(control: socket.socket) -> int:
    """Runs until the supervisor is gone or says stop; the exit status."""
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle: it stops us in order
    return asyncio.run(_run(control))


async def _run(sock: socket.socket) -> int:
    control = ChildControl(sock)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="database") as database:
        try:
            return await _serve(control, database)
        except RegisterFailed as failure:
            with contextlib.suppress(OSError):
                await control.send(Failed(failure.reason_code, failure.message, failure.final))
            return 1
        except OSError:  # the supervisor is gone in the middle of a message
            return 1
        finally:
            control.close()


async def _serve(control: ChildControl, database: ThreadPoolExecutor) -> int:
    loop = asyncio.get_running_loop()
    first = await control.incoming.get()
    if first is None:
        return 0
    folder = _folder_from_start(*first)
    register = await loop.run_in_executor(database, opened_register, folder, _now_ms)
    try:
        await control.send(Ready({"policy_key": register.secrets.public_key.hex()}))
        await control.send(Models(list(register.published.models)))
        return await _Server(control, register, database).run()
    finally:
        await loop.run_in_executor(database, register.close)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _folder_from_start(message: ToChild, descriptors: list[int]) -> Path:
    close_all(descriptors)
    folder = message.config.get("folder") if isinstance(message, Start) else None
    if not isinstance(message, Start) or not isinstance(folder, str) or set(message.config) != {"folder"}:
        raise RegisterFailed("bad_start", "The register was not told, or not only, where its folder is.", final=True)
    return Path(folder)


class _Server:
    """Owns the connections. `register` is touched in the database's thread only, but for what it published."""

    def __init__(self, control: ChildControl, register: Register, database: ThreadPoolExecutor) -> None:
        self._control = control
        self._register = register
        self._database = database
        self._board = Board(register.published)
        self._turn = asyncio.Lock()  # one verb at a time, from its begin to its publication
        self._connections: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()  # those with a request in hand
        self._stopping = False

    async def run(self) -> int:
        """Serves until told to stop; the exit status."""
        async with asyncio.TaskGroup() as tasks:
            stop = await self._until_stop(tasks)
            self._stopping = True
            for connection in self._connections - self._busy:
                connection.cancel()
            if stop is not None and self._busy:
                await asyncio.wait(self._busy, timeout=stop.drain_s)
            for connection in self._connections:
                connection.cancel()
        return 0

    async def _until_stop(self, tasks: asyncio.TaskGroup) -> Stop | None:
        """Takes connections in; returns at `Stop`, or None when the supervisor is gone."""
        while (received := await self._control.incoming.get()) is not None:
            message, descriptors = received
            if isinstance(message, Stop):
                close_all(descriptors)
                return message
            if isinstance(message, Accept) and len(descriptors) == 1 and self._has_room(message.role):
                connection = tasks.create_task(self._converse(message.role, descriptors[0]), name=message.role)
                self._connections.add(connection)
                connection.add_done_callback(self._connections.discard)
            else:
                close_all(descriptors)
        return None

    def _has_room(self, role: str) -> bool:
        """Many operators never keep the gateway out."""
        return role == "gateway" or len(self._connections) < MAX_CONNECTIONS

    async def _converse(self, role: str, descriptor: int) -> None:
        sock = socket.socket(fileno=descriptor)
        if role not in ("gateway", "operator"):
            sock.close()
            return
        sock.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        try:
            if role == "gateway":
                await serve_feed(writer, self._board, self._register.secrets.pepper)
            else:
                await serve_operator(reader, writer, self._perform, self._in_hand)
        finally:
            writer.close()

    @contextlib.contextmanager
    def _in_hand(self) -> Iterator[None]:
        """Keeps the current connection from being ended by `Stop` until its answer is sent; then it is its turn."""
        task: asyncio.Task[None] | None = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is served in a task")
        self._busy.add(task)
        try:
            yield
        finally:
            self._busy.discard(task)
            if self._stopping:
                task.cancel()

    async def _perform(self, request: Request) -> Any:
        async with self._turn:
            loop = asyncio.get_running_loop()
            before = self._register.published
            answer = await loop.run_in_executor(
                self._database, perform, self._register, request.verb, request.arguments
            )
            after = self._register.published
            if after is not before:
                self._board.put(after)
            if after.models != before.models:
                await self._control.send(Models(list(after.models)))
            return answer
