"""One HTTP exchange: what came in, and the one answer that goes out.

- A header of ours that comes twice is refused: two readers could each take another one.
- Every answer forbids caching and guessing its type.
- `send` waits while the client does not read: the server's buffer has an upper limit, and this is the brake on all that
  lies behind it.
"""

from __future__ import annotations

import msgspec

from tenzij.gateway.asgi import Headers, Message, Receive, Scope, Send
from tenzij.gateway.faults import Fault
from tenzij.gateway.refusals import InvalidHeader

_ALWAYS: Headers = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_JSON: Headers = ((b"content-type", b"application/json"),)
# x-accel-buffering: nginx and its kin would hold the stream back until it is whole.
_STREAM: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no"))


class Exchange:
    """One request and its response. Owned by the task that serves it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.started = False  # the status line is out: what goes wrong now cannot change it
        self.finished = False  # the last byte is out
        self._scope = scope
        self._receive = receive
        self._send = send

    @property
    def client_host(self) -> str | None:
        """The address at the other end of the connection."""
        client = self._scope.get("client")
        return None if not client else str(client[0])

    def header(self, name: str) -> str | None:
        """The header's value; None when it is not there. Raises InvalidHeader when it comes twice."""
        wanted = name.lower().encode()
        found = [value for key, value in self._scope["headers"] if key == wanted]
        if len(found) > 1:
            raise InvalidHeader(f"The header {name} comes {len(found)} times. Send it once.", param=name)
        return found[0].decode("latin-1") if found else None

    async def receive(self) -> Message:
        """The next ASGI message of the request."""
        return await self._receive()

    async def respond(self, status: int, tree: object, headers: Headers = ()) -> None:
        """The whole answer, `tree` as JSON."""
        await self.respond_bytes(status, msgspec.json.encode(tree), headers)

    async def respond_bytes(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """The whole answer, `body` being JSON already."""
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, (*_JSON, length, *_ALWAYS, *headers))
        await self._finish(body)

    async def fail(self, fault: Fault, headers: Headers = ()) -> None:
        """The whole answer, an error."""
        await self.respond(fault.status, fault.tree(), (*fault.headers, *headers))

    async def begin_stream(self, headers: Headers) -> None:
        """Opens a stream of server-sent events."""
        await self._start(200, (*_STREAM, *_ALWAYS, *headers))

    async def send(self, frame: bytes) -> None:
        """One piece of the stream."""
        await self._send({"type": "http.response.body", "body": frame, "more_body": True})

    async def end_stream(self, frame: bytes) -> None:
        """The last piece of the stream, and its end."""
        await self._finish(frame)

    async def _start(self, status: int, headers: Headers) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def _finish(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        self.finished = True
