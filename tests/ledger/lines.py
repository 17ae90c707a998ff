"""Streams to talk over by hand, from either end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tenzij.channels.frames import frame, read_frame
from tenzij.ledger.entries import Entries, bytes_from_entry
from tenzij.ledger.protocol import (
    Append,
    Appended,
    Hello,
    NotAppended,
    ToClient,
    ToLedger,
    Welcome,
    bytes_from_message,
    message_at_client,
    message_at_ledger,
)

PATIENCE_S = 10.0


class Line:
    """One end of a stream of frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send_bytes(self, data: bytes) -> None:
        """As they are, without a frame."""
        self._writer.write(data)

    async def receive_bytes(self) -> bytes | None:
        """One frame's bytes; None when the other end is gone."""
        async with asyncio.timeout(PATIENCE_S):
            return await read_frame(self._reader, 2**24)

    async def flush(self) -> None:
        """Waits until the other end takes what was sent."""
        await self._writer.drain()

    def close(self) -> None:
        """Hangs up."""
        self._writer.close()

    async def closed(self) -> None:
        """Hangs up and waits until it is done."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class ClientLine(Line):
    """A client's end: what a gateway could do."""

    def send(self, message: ToLedger) -> None:
        """Sends one message."""
        self.send_bytes(frame(bytes_from_message(message)))

    async def receive(self) -> ToClient | None:
        """The next message; None when the ledger hung up."""
        data = await self.receive_bytes()
        return None if data is None else message_at_client(data)

    async def greet(self, *unfinished: str) -> None:
        """Hello and welcome."""
        self.send(Hello(list(unfinished)))
        assert await self.receive() == Welcome()

    async def append(self, number: int, entry: Entries, key: bytes = b"") -> Appended | NotAppended:
        """One entry and its answer."""
        self.send(Append(number, entry.kind, bytes_from_entry(entry), key))
        answer = await self.receive()
        assert isinstance(answer, (Appended, NotAppended)) and answer.number == number
        return answer


class LedgerLine(Line):
    """A ledger's end, to answer by hand."""

    def send(self, message: ToClient) -> None:
        """Sends one message."""
        self.send_bytes(frame(bytes_from_message(message)))

    async def receive(self) -> ToLedger | None:
        """The next message; None when the client hung up."""
        data = await self.receive_bytes()
        return None if data is None else message_at_ledger(data)

    async def welcome(self) -> list[str]:
        """Takes the hello and answers it; what it named."""
        hello = await self.receive()
        assert isinstance(hello, Hello)
        self.send(Welcome())
        return hello.unfinished

    async def next_append(self) -> Append:
        """The next message, which is an append."""
        append = await self.receive()
        assert isinstance(append, Append)
        return append


async def client_line(sock: socket.socket) -> ClientLine:
    """Over a connected socket."""
    return ClientLine(*await asyncio.open_unix_connection(sock=sock))


async def ledger_line(sock: socket.socket) -> LedgerLine:
    """Over a connected socket."""
    return LedgerLine(*await asyncio.open_unix_connection(sock=sock))


@asynccontextmanager
async def cancelled_at_the_end(*tasks: asyncio.Task[None]) -> AsyncIterator[None]:
    """Ends the tasks and waits for them."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
