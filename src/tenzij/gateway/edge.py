"""The HTTP/1.1 protocol: uvicorn's, held to limits that it does not have, and silent.

- A request's head is bounded in bytes and fields (431) and in time; a connection that does nothing is closed.
- One request at a time on a connection. Bytes after a whole request, before its answer is out (pipelining), are not
  looked at: the connection ends after that answer. uvicorn would queue them, stop reading, and so never see a hang-up.
- An answer may come before the request's body is read (no key, too large). What is left of the body is then dropped, up
  to a time and a size, so that the client gets to read the answer; then the connection is cut.
- An answer that was begun and not finished ends in a cut connection: the client sees that it is not whole. So does one
  that the client does not take.
- What is not HTTP, and a request for another protocol, gets a fixed 400 in OpenAI's shape and the connection's end.
  Nothing is logged.

uvicorn's `HttpToolsProtocol` is not a documented base class: the version is locked, and `tests/gateway/test_edge.py`
holds each line above.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any, cast

import httptools
import msgspec
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tenzij.gateway.asgi import App, Receive, Scope, Send
from tenzij.gateway.faults import Fault

_NOT_HTTP = Fault(
    400, "invalid_http", "This is not an HTTP/1.1 request. Send one, without TLS unless a proxy in front takes it."
)
_HEAD_TOO_LARGE = Fault(431, "head_too_large", "The request's headers are too large. Send fewer.")
_NO_UPGRADE = Fault(400, "no_upgrade", "No other protocol is spoken here. Send the request without Upgrade.")
_NO_LINGER = struct.pack("ii", 1, 0)
_REASONS = {400: "Bad Request", 431: "Request Header Fields Too Large"}


class _Unfit(Exception):
    """HTTP, but not as we take it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


class _Pipelined(Exception):
    """A second request began before the first was answered."""


class Edge(HttpToolsProtocol):
    """One connection. The limits are attributes of the class: a subclass sets others."""

    max_connections = 4000
    max_head_bytes = 32 * 1024
    max_head_fields = 100
    head_timeout_s = 10.0
    idle_timeout_s = 30.0  # between two requests, and for the client to take an answer's last bytes
    leftover_timeout_s = 5.0  # for the rest of a body whose answer is out
    leftover_bytes = 64 * 1024 * 1024

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deaf = False  # what comes in is dropped
        self._head_bytes = 0
        self._leftover = 0
        self._unsent = 0  # bytes in the write buffer when last looked
        self._timer: asyncio.TimerHandle | None = None

    # -- connection

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        if len(self.connections) > self.max_connections:
            self._cut()
        else:
            self._wait(self.head_timeout_s)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._on_bad_bytes(error.__context__)

    def _on_bad_bytes(self, cause: BaseException | None) -> None:
        self._deaf = True
        if isinstance(cause, _Pipelined):
            self._end_after_answer()
        elif self._is_answering() and self.cycle.response_started:
            self._cut()  # a second answer inside the first would be read as part of it
        else:
            if self._is_answering():  # its body was bad: whoever reads it is told that the client is gone
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self._refuse(cause.fault if isinstance(cause, _Unfit) else _NOT_HTTP)

    def _refuse(self, fault: Fault) -> None:
        body = msgspec.json.encode(fault.tree())
        head = (
            f"HTTP/1.1 {fault.status} {_REASONS[fault.status]}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            "cache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
        self._wait(self.leftover_timeout_s)

    def _end_after_answer(self) -> None:
        self._deaf = True
        if self._is_answering():
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, whatever uvicorn's types say
        return cycle is not None and not cycle.response_complete

    def _cut(self) -> None:
        """Ends the connection at once. Without linger the kernel would keep what a client does not take."""
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):  # closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    # -- request

    @override
    def on_message_begin(self) -> None:
        if self._is_answering():
            raise _Pipelined
        super().on_message_begin()
        self._head_bytes = 0
        self._wait(self.head_timeout_s)

    @override
    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))
        if len(self.headers) >= self.max_head_fields:
            raise _Unfit(_HEAD_TOO_LARGE)
        super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():  # the parser would skip the request's body
            raise _Unfit(_NO_UPGRADE)
        self._stop_waiting()
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            self._leftover += len(body)
            if self._leftover > self.leftover_bytes:
                self._cut()
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        if self.cycle.response_complete:
            self._wait(self.idle_timeout_s)
            self.cycle.more_body = False
        super().on_message_complete()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.max_head_bytes:
            raise _Unfit(_HEAD_TOO_LARGE)

    # -- answer

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._leftover = 0
        super()._start_asgi_task(cycle, self._cutting(cycle, app))

    def _cutting(self, cycle: RequestResponseCycle, app: App) -> Any:
        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                if cycle.response_started and not cycle.response_complete:
                    self._cut()

        return served

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()  # our own timer looks at what is still unsent, too
        self._wait(self.leftover_timeout_s if self.cycle.more_body else self.idle_timeout_s)

    # -- time

    def _wait(self, timeout_s: float) -> None:
        self._stop_waiting()
        self._unsent = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(timeout_s, self._on_timeout, timeout_s)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self, timeout_s: float) -> None:
        if 0 < self.transport.get_write_buffer_size() < self._unsent:  # it takes its answer, slowly
            self._wait(timeout_s)
        else:
            self._cut()


def connections_within(open_files: int) -> int:
    """How many connections leave descriptors for an engine's connection each, and for everything else."""
    return max(1, min(Edge.max_connections, (open_files - 64) // 3))
