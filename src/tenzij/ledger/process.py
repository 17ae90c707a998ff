"""The ledger's process: one log in one folder, its clients handed over by the supervisor.

Rules
- `Start` brings the folder and whose log it is; then the log is read, and `Ready` says how much there is.
- A log that cannot be trusted, or is another's, is not written to: `Failed`, final, until a person has looked.
- `Stop`: the clients go first (the supervisor stops the gateway before), then what they left is closed. End of the
  control channel: exit at once; the next start closes what was left.
- Interrupts from a terminal are for the supervisor, which tells us.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import msgspec
import uvloop

from tenzij.channels.control import Accept, ChildControl, Failed, Ready, Start, Stop, close_all
from tenzij.errors import OperatorError
from tenzij.ledger.book import Book
from tenzij.ledger.files import RealFiles
from tenzij.ledger.key_store import KeyStore
from tenzij.ledger.place import keys_file, write_ahead_folder
from tenzij.ledger.segment import Identity, LedgerDamaged
from tenzij.ledger.server import Server
from tenzij.ledger.wal import WriteAheadLog


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `Start` carries for a ledger."""

    folder: str
    organisation: str
    node: str


class _NotStarted(Exception):
    """The log cannot be opened; carries what to tell the supervisor."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.code)
        self.failed = failed


def main(control: socket.socket) -> int:
    """Runs until told to stop, or until the supervisor is gone. The exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return uvloop.run(_main(control))


async def _main(control: socket.socket) -> int:
    child = ChildControl(control)
    first = await child.incoming.get()
    if first is None:
        return 0
    message, descriptors = first
    close_all(descriptors)
    if not isinstance(message, Start):
        return 0  # told to stop before it began
    try:
        server, ready = _opened(message)
    except _NotStarted as error:
        await child.send(error.failed)
        return 1
    await child.send(ready)
    try:
        return await _serve(child, server)
    finally:
        child.close()
        server.close()


def _opened(start: Start) -> tuple[Server, Ready]:
    try:
        config = msgspec.convert(start.config, Config)
    except msgspec.ValidationError:
        raise _NotStarted(Failed("bad_start", "The ledger was started without its configuration.", True)) from None
    folder = Path(config.folder)
    book = Book()
    try:
        log = WriteAheadLog(RealFiles(write_ahead_folder(folder)), Identity(config.organisation, config.node))
        log.load(book)
    except OperatorError as error:
        raise _NotStarted(Failed(error.code, error.message, final=True)) from None
    except OSError as error:
        reason = f"The log's folder cannot be read: {os.strerror(error.errno or 0)}."
        raise _NotStarted(Failed("ledger_folder", reason)) from None
    facts = {"entries": log.next_index, "unfinished": len(book.unfinished), "torn_bytes": log.torn_bytes}
    return Server(log, book, KeyStore(keys_file(folder))), Ready(facts)


async def _serve(child: ChildControl, server: Server) -> int:
    damaged: LedgerDamaged | None = None
    try:
        async with asyncio.TaskGroup() as group:
            owned = [
                group.create_task(server.run(), name="owner"),
                group.create_task(server.run_keys(), name="keys"),
            ]
            clients = await _until_stopped(child, server, group)
            for task in (*owned, *clients):
                task.cancel()
    except* LedgerDamaged as errors:
        damaged = next(error for error in errors.exceptions if isinstance(error, LedgerDamaged))
    if damaged is None:
        return 0
    await child.send(Failed(damaged.code, damaged.message, final=True))
    return 1


async def _until_stopped(child: ChildControl, server: Server, group: asyncio.TaskGroup) -> set[asyncio.Task[None]]:
    """Serves whom the supervisor hands over; the clients that are still there at the end."""
    clients: set[asyncio.Task[None]] = set()
    while (received := await child.incoming.get()) is not None:
        message, descriptors = received
        if isinstance(message, Accept) and len(descriptors) == 1:
            connection = socket.socket(fileno=descriptors[0])
            client = group.create_task(server.serve(connection, message.role), name=f"client {message.role}")
            clients.add(client)
            client.add_done_callback(clients.discard)
            continue
        close_all(descriptors)
        if isinstance(message, Stop):
            await server.drain(message.drain_s)
            break
    return clients
