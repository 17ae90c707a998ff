"""A ledger that runs in this process, over files in memory or on disk."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ledger.faulty_files import FaultyFiles
from ledger.lines import ClientLine, client_line
from ledger.samples import IDENTITY
from tenzij.channels.control import Refusal
from tenzij.ledger.book import Book
from tenzij.ledger.key_store import KeyStore
from tenzij.ledger.server import Server
from tenzij.ledger.wal import WriteAheadLog


class Running:
    """One life of a ledger."""

    def __init__(self, files: FaultyFiles, folder: Path) -> None:
        self.files = files
        self.keys = KeyStore(folder / "sleutels.sqlite")
        self.book = Book()
        self.log = WriteAheadLog(files, IDENTITY, 50_000)
        self.log.load(self.book)
        self.server = Server(self.log, self.book, self.keys, begin_again_s=0.01)
        self._group: asyncio.TaskGroup | None = None
        self._clients: list[asyncio.Task[None]] = []
        self._lines: list[ClientLine] = []
        self._handed: list[socket.socket] = []

    async def hand_over(self, role: str = "gateway") -> socket.socket:
        """What the supervisor does: one end to the ledger, the other to whoever asked."""
        if self._group is None:
            raise Refusal("the ledger is not running")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._handed.append(theirs)
        self._clients.append(self._group.create_task(self.server.serve(theirs, role)))
        return ours

    async def line(self, role: str = "gateway") -> ClientLine:
        """A client's end, to talk over by hand."""
        self._lines.append(await client_line(await self.hand_over(role)))
        return self._lines[-1]

    async def greeted(self, *unfinished: str) -> ClientLine:
        """A line after hello and welcome."""
        line = await self.line()
        await line.greet(*unfinished)
        return line

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[Running]:
        """Runs it until the end of the block; then it stops dead."""
        async with asyncio.TaskGroup() as self._group:
            owned = [self._group.create_task(self.server.run()), self._group.create_task(self.server.run_keys())]
            try:
                yield self
            finally:
                self._group = None
                for task in (*owned, *self._clients):
                    task.cancel()
                for line in self._lines:
                    await line.closed()
        for sock in self._handed:  # of a task that was cancelled before it began
            sock.close()
        self.server.close()


@asynccontextmanager
async def running(folder: Path, files: FaultyFiles | None = None) -> AsyncIterator[Running]:
    """A ledger on files in memory, its keys in `folder`."""
    async with Running(files or FaultyFiles(), folder).alive() as ledger:
        yield ledger


async def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Waits for another thread or process; the loop goes on meanwhile."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)
