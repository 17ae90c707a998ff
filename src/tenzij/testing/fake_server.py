"""An engine for tests: speaks llama.cpp's dialect, misbehaves on demand. No model, no I/O beyond its connections.

    async with FakeEngine(Misbehaviour.STALLS) as fake:
        engine = LlamaCpp(fake.connect)
        …
        assert fake.seen.aborted == 1

What it saw is also at `GET /fake/seen`, for a test whose fake runs in another process (see `fake_engine`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from tenzij.testing.fake_dialect import DONE, FakeAnswer, embeddings_for, error_body, event, prompt_of
from tenzij.testing.misbehaviour import Misbehaviour as Bad

PAUSE_S: Final = 0.05
OVERSIZE_BYTES: Final = 8 * 1024 * 1024
DIED_STATUS: Final = 70


@dataclass
class Seen:
    """What reached the engine. Text is kept: it is a fake."""

    active: int = 0
    finished: int = 0
    aborted: int = 0  # the peer hung up before the end
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)


class FakeEngine:
    """Serves connections until it is closed. `script` is the answer to everything, piece by piece."""

    def __init__(self, *misbehaviours: Bad, script: Sequence[str] | None = None, pause_s: float = PAUSE_S) -> None:
        self._bad = frozenset(misbehaviours)
        self._script = script
        self._pause_s = pause_s
        self._connections: set[asyncio.Task[None]] = set()
        self.seen = Seen()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def connect(self) -> socket.socket:
        """The client's end of a new connection."""
        client, server = socket.socketpair()
        client.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=server)
        task = asyncio.get_running_loop().create_task(self.serve(reader, writer), name="fake connection")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        return client

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the one request on a connection, then closes it."""
        try:
            path, headers, body = await _request(reader)
            if path == "/fake/seen":
                await _write(writer, _response(200, "application/json", json.dumps(asdict(self.seen)).encode()))
            else:
                await self._serve(path, headers, body, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(
        self,
        path: str,
        headers: dict[str, str],
        body: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.seen.paths.append(path)
        self.seen.headers.append(headers)
        self.seen.bodies.append(body)
        self.seen.active += 1
        answering = asyncio.get_running_loop().create_task(self._answer(path, body, writer), name="fake answer")
        watching = asyncio.get_running_loop().create_task(reader.read(1), name="fake watch")
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
            if answering.done() and answering.exception() is None:
                self.seen.finished += 1
            else:
                self.seen.aborted += 1
        finally:
            self.seen.active -= 1
            for task in (answering, watching):
                task.cancel()
            await asyncio.wait((answering, watching))

    async def _answer(self, path: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if Bad.SILENT in self._bad:
            await asyncio.get_running_loop().create_future()
        refusal = self._refusal(body)
        if refusal is not None:
            await _write(writer, refusal)
        elif path == "/v1/embeddings":
            await _write(writer, _response(200, "application/json", embeddings_for(body)))
        else:
            await _write(writer, _head(200, "text/event-stream") + b"Transfer-Encoding: chunked\r\n\r\n")
            async for data in self._stream(body):
                await _write(writer, b"%x\r\n%b\r\n" % (len(data), data))
            await _write(writer, b"0\r\n\r\n")

    def _refusal(self, body: dict[str, Any]) -> bytes | None:
        prompt = prompt_of(body)
        if Bad.ECHOES_ERROR in self._bad:
            return _response(
                400, "application/json", error_body(400, "invalid_request_error", f"cannot parse: {prompt}")
            )
        if Bad.TOO_LONG in self._bad:
            said = error_body(400, "exceed_context_size_error", prompt, n_prompt_tokens=5000, n_ctx=4096)
            return _response(400, "application/json", said)
        if Bad.FAILS in self._bad:
            return _response(500, "application/json", error_body(500, "server_error", prompt))
        if Bad.WRONG_TYPE in self._bad:
            return _response(200, "text/html", b"<p>" + prompt.encode())
        return None

    async def _stream(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        answer = FakeAnswer(body, self._script, counted=Bad.NO_USAGE not in self._bad)
        for data in answer.prefill():
            yield data
        for count, data in enumerate(answer.pieces()):
            async for bad in self._before_piece(count, body):
                yield bad
            yield data
        if Bad.NO_FINISH not in self._bad:
            yield answer.finish()
        if Bad.NO_USAGE not in self._bad:
            yield answer.usage()
        if Bad.NO_DONE not in self._bad:
            yield DONE

    async def _before_piece(self, count: int, body: dict[str, Any]) -> AsyncIterator[bytes]:
        """What goes wrong before piece number `count`."""
        if Bad.SLOW in self._bad:
            await asyncio.sleep(self._pause_s)
        if count == 1:
            if Bad.STALLS in self._bad:
                await asyncio.get_running_loop().create_future()
            if Bad.GARBAGE_BYTES in self._bad:
                yield b"\x00\xff\xfe\x80 garbage\n\n"
            if Bad.GARBAGE_JSON in self._bad:
                yield b'data: {"choices": [\n\n'
            if Bad.OVERSIZE_FRAME in self._bad:
                yield b"data: " + b"x" * OVERSIZE_BYTES
            if Bad.ECHOES_LATE in self._bad:
                yield event(json.loads(error_body(500, "server_error", prompt_of(body))))
        if count == 2:
            if Bad.CUT in self._bad:
                raise ConnectionAbortedError
            if Bad.DIES in self._bad:
                os._exit(DIED_STATUS)


async def _request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Path, headers (lower-case names) and JSON body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return first.split(" ")[1], headers, json.loads(content) if content else {}


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _head(status: int, content_type: str) -> bytes:
    return f"HTTP/1.1 {status} Fake\r\nServer: fake\r\nContent-Type: {content_type}\r\nConnection: close\r\n".encode()


def _response(status: int, content_type: str, body: bytes) -> bytes:
    return _head(status, content_type) + b"Content-Length: %d\r\n\r\n" % len(body) + body
