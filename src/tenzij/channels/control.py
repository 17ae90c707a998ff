"""The control channel between the supervisor and one child: small messages and open descriptors.

Rules
- One `SOCK_SEQPACKET` pair for each child, made by the supervisor; the child's end is the only descriptor it inherits.
- One packet is one message, JSON by msgspec, at most `MAX_MESSAGE_BYTES`; descriptors travel beside it (SCM_RIGHTS).
- A child never opens a socket of its own: it asks for a connection by name and is handed one (`Connect`). So its
  system-call filter can refuse `socket` and `connect` whole, and who speaks to whom is the supervisor's table.
- No text of a request ever crosses this channel.
- End of file means that the supervisor is gone: the child stops.

Who sends what: see the two unions at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Any

import msgspec

from tenzij.types import ModelId, Sha256, Verification

MAX_MESSAGE_BYTES = 128 * 1024
MAX_DESCRIPTORS = 4


class Start(msgspec.Struct, tag="start", frozen=True):
    """First message to a child: its configuration (a tree of its role's own type) and its listeners, as descriptors."""

    config: dict[str, Any]


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The child works. `facts` are the role's own (a register's public key, a worker's weights).

    A worker hands its listening socket's `O_PATH` descriptor along.
    """

    facts: dict[str, Any] = {}


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The child cannot go on and says why, in a stable code and a sentence without any text of a request.

    `final` asks not to be restarted: trying again cannot help (weights differ from their passport).
    """

    code: str
    reason: str
    final: bool = False


class Connect(msgspec.Struct, tag="connect", frozen=True):
    """Please hand me a connection to `to`: "ledger", "register" or "worker:<model id>". Answered by `Connected`."""

    ask: int
    to: str


class Connected(msgspec.Struct, tag="connected", frozen=True):
    """Answer to `Connect`, with one descriptor: a connected stream socket. Without one, `error` says why not."""

    ask: int
    error: str | None = None


class Accept(msgspec.Struct, tag="accept", frozen=True):
    """To a server (ledger, register): one descriptor, a new client's stream.

    `role` is who is at the other end, fixed by the supervisor: "gateway", "operator", "register", …
    """

    role: str


class WorkerState(msgspec.Struct, frozen=True):
    """What the gateway may know of one model's worker."""

    model: ModelId
    state: str  # "starting", "ready", "backoff", "given_up", "stopped"
    reason: str = ""  # why not ready, for a person
    weights: Sha256 | None = None  # what the worker has loaded
    verification: Verification | None = None


class Workers(msgspec.Struct, tag="workers", frozen=True):
    """To the gateway, at its start and at each change: the state of every model's worker."""

    workers: list[WorkerState]


class ModelSpec(msgspec.Struct, frozen=True):
    """What the supervisor must know of an admitted model in order to run its worker."""

    model: ModelId
    weights: Sha256
    size_bytes: int
    file: str  # name below TENZIJ_HOME/models, "<sha256>.gguf"; never a path
    tasks: list[str]
    context_tokens: int  # per request


class Models(msgspec.Struct, tag="models", frozen=True):
    """From the register, at its start and at each change: all admitted models."""

    models: list[ModelSpec]


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """Finish what is in hand within `drain_s` seconds, then exit with status 0."""

    drain_s: float


ToChild = Start | Connected | Accept | Workers | Stop
ToSupervisor = Ready | Failed | Connect | Models

_encoder = msgspec.json.Encoder()
_to_child: msgspec.json.Decoder[ToChild] = msgspec.json.Decoder(ToChild)
_to_supervisor: msgspec.json.Decoder[ToSupervisor] = msgspec.json.Decoder(ToSupervisor)


# Invalid UTF-8 and deep nesting come out of msgspec as errors of Python's own.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BadMessage(Exception):
    """Bytes on the control channel that are not a message of the expected side."""


def send(sock: socket.socket, message: ToChild | ToSupervisor, descriptors: Sequence[int] = ()) -> None:
    """Sends one message with its descriptors; they stay open here, closing them is the caller's.

    Raises BlockingIOError on a full non-blocking channel, OSError when the peer is gone, ValueError when too large.
    """
    payload = _encoder.encode(message)
    if len(payload) > MAX_MESSAGE_BYTES or len(descriptors) > MAX_DESCRIPTORS:
        raise ValueError("control message too large")
    if descriptors:
        socket.send_fds(sock, [payload], list(descriptors))
    else:
        sock.send(payload)


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    payload, descriptors, flags, _ = socket.recv_fds(sock, MAX_MESSAGE_BYTES + 1, MAX_DESCRIPTORS)
    for descriptor in descriptors:  # Python 3.11's recv_fds passes no flags on, so not MSG_CMSG_CLOEXEC
        os.set_inheritable(descriptor, False)
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close_all(descriptors)
        raise BadMessage("truncated control message")
    return payload, list(descriptors)


def receive_at_child(sock: socket.socket) -> tuple[ToChild, list[int]] | None:
    """The next message from the supervisor, with its descriptors, which the caller then owns; None at end of file."""
    payload, descriptors = _receive(sock)
    if not payload:
        return None
    try:
        return _to_child.decode(payload), descriptors
    except _UNREADABLE as error:
        close_all(descriptors)
        raise BadMessage("unreadable control message") from error


def receive_at_supervisor(sock: socket.socket) -> tuple[ToSupervisor, list[int]] | None:
    """The next message from a child, with its descriptors, which the caller then owns; None at end of file.

    A child is not trusted: anything unreadable raises BadMessage, and its descriptors are closed.
    """
    payload, descriptors = _receive(sock)
    if not payload:
        return None
    try:
        return _to_supervisor.decode(payload), descriptors
    except _UNREADABLE as error:
        close_all(descriptors)
        raise BadMessage("unreadable control message") from error


def close_all(descriptors: Sequence[int]) -> None:
    """Closes each descriptor; one that is closed already is passed over."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


class Refusal(Exception):
    """The supervisor would not, or could not, hand a connection."""


class ChildControl:
    """The child's end, in an event loop. One instance a process, made inside the running loop.

    `incoming` yields what the supervisor sends, but for `Connected`, which answers a pending `connect`. It ends with
    None when the supervisor is gone.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._asks: dict[int, asyncio.Future[socket.socket]] = {}
        self._next_ask = 0
        self.incoming: asyncio.Queue[tuple[ToChild, list[int]] | None] = asyncio.Queue()
        self._loop.add_reader(sock.fileno(), self._on_readable)

    def close(self) -> None:
        """Stops reading; pending `connect` calls fail."""
        self._loop.remove_reader(self._sock.fileno())
        self._fail_asks("the control channel is closed")

    async def send(self, message: ToSupervisor, descriptors: Sequence[int] = ()) -> None:
        """Sends one message, waiting while the channel is full. Raises OSError when the supervisor is gone."""
        while True:
            try:
                send(self._sock, message, descriptors)
            except BlockingIOError:
                await asyncio.sleep(0.005)  # the supervisor reads at once; a full channel is rare and short
            else:
                return

    async def connect(self, to: str, timeout_s: float = 5.0) -> socket.socket:
        """A connected, non-blocking Unix stream socket to `to`, which the caller owns.

        Raises Refusal with the supervisor's reason, or when it does not answer in time.
        """
        ask = self._next_ask
        self._next_ask += 1
        answer: asyncio.Future[socket.socket] = self._loop.create_future()
        self._asks[ask] = answer
        try:
            await self.send(Connect(ask, to))
            async with asyncio.timeout(timeout_s):  # not `wait_for`, which loses a cancel that meets the answer
                return await answer
        except TimeoutError:
            _close_unused(answer)
            raise Refusal(f"no connection to {to} within {timeout_s:g} seconds") from None
        except asyncio.CancelledError:
            _close_unused(answer)
            raise
        except OSError:
            raise Refusal("the supervisor is gone") from None
        finally:
            self._asks.pop(ask, None)

    def _on_readable(self) -> None:
        try:
            received = receive_at_child(self._sock)
        except BlockingIOError:
            return
        except (OSError, BadMessage):
            received = None
        if received is None:
            self.close()
            self.incoming.put_nowait(None)
            return
        message, descriptors = received
        if isinstance(message, Connected):
            self._answer(message, descriptors)
        else:
            self.incoming.put_nowait((message, descriptors))

    def _answer(self, message: Connected, descriptors: list[int]) -> None:
        future = self._asks.pop(message.ask, None)
        if future is None or future.done():  # the asker gave up: the connection is not needed
            close_all(descriptors)
        elif len(descriptors) != 1:
            close_all(descriptors)
            future.set_exception(Refusal(message.error or "the supervisor sent no connection"))
        else:
            connection = socket.socket(fileno=descriptors[0])
            connection.setblocking(False)
            future.set_result(connection)

    def _fail_asks(self, reason: str) -> None:
        for future in self._asks.values():
            if not future.done():
                future.set_exception(Refusal(reason))
        self._asks.clear()


def _close_unused(answer: asyncio.Future[socket.socket]) -> None:
    """The connection came as its asker stopped waiting."""
    if answer.done() and not answer.cancelled() and answer.exception() is None:
        answer.result().close()
