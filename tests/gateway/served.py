"""A gateway on a real TCP listener, in the test's own loop, and a client that sends bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from gateway.harness import KEY, World, chat
from tenzij.gateway.edge import Edge
from tenzij.gateway.server import Server


@contextlib.asynccontextmanager
async def served(world: World, **limits: Any) -> AsyncIterator[tuple[str, int]]:
    """Serves `world` at the address; `limits` are those of the edge."""
    edge = type("TestEdge", (Edge,), limits)
    started = asyncio.Event()
    server = Server(world.app, started.set, edge)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(5):
                await started.wait()
            host, port = listener.getsockname()
            yield host, port
        finally:
            server.give_up()
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            async with asyncio.timeout(5):
                await task


def request(
    tree: Any = None,
    *,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    key: str | None = KEY,
    extra: str = "",
    body: bytes | None = None,
) -> bytes:
    """One request's bytes."""
    if body is None:
        body = b"" if method in ("GET", "HEAD") else json.dumps(tree or chat()).encode()
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: here\r\n{authorization}{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass
class Peer:
    """One connection, from the client's side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def rest(self, within_s: float = 5.0) -> bytes:
        """All bytes up to the connection's end, also when that is a cut."""
        received = b""
        async with asyncio.timeout(within_s):
            with contextlib.suppress(ConnectionError):
                while data := await self.reader.read(65536):
                    received += data
        return received

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        """One response that tells its length."""
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, headers = parsed_head(head)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return status, headers, body

    def cut(self) -> None:
        """Ends the connection at once, as a process that dies."""
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(address: tuple[str, int], limit: int = 65536) -> AsyncIterator[Peer]:
    """A connection to `address`."""
    reader, writer = await asyncio.open_connection(*address, limit=limit)
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def parsed_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of a response."""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    return int(first.split(" ")[1]), headers


def answers(received: bytes) -> int:
    """How many responses begin in these bytes."""
    return len(re.findall(rb"HTTP/1\.1 \d\d\d ", received))
