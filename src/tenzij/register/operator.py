"""The command line's side of the register: asks one verb at a time over a connected stream socket. Synchronous.

- What the register refuses comes back as its own sentence, code and status: a CallerError where the asker can mend it,
  else an OperatorError.
- A register that goes away or says what it should not is an OperatorError too.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, NoReturn

from tenzij.channels.frames import frame
from tenzij.errors import CallerError, OperatorError, TenzijError
from tenzij.register.protocol import (
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    UNREADABLE,
    Answer,
    Fault,
    Request,
    answer_decoder,
    encode_json,
)

ANSWER_TIMEOUT_S = 30.0
_LENGTH = struct.Struct(">I")


class NoAnswer(OperatorError):
    """The register did not answer, or not as agreed."""

    code = "register_unreachable"


class OperatorClient:
    """The operator's end of one connection. It owns the socket; close it, or use it in a `with` statement."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(ANSWER_TIMEOUT_S)
        self._sock = sock

    def __enter__(self) -> OperatorClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._sock.close()

    def call(self, verb: str, **arguments: object) -> Any:
        """The verb's answer, plain JSON.

        Raises CallerError or OperatorError with the register's sentence, status and code.
        """
        try:
            request = encode_json(Request(verb, arguments))
        except (TypeError, ValueError):
            raise CallerError(f"The arguments of {verb} cannot be sent.") from None
        if len(request) > MAX_REQUEST_BYTES:
            raise CallerError(f"The arguments of {verb} are too large.")
        try:
            self._sock.sendall(frame(request))
            answer = self._answer()
        except OSError:
            raise NoAnswer("The register does not answer. Look whether the platform is running, and why not.") from None
        if answer.fault is not None:
            _raise(answer.fault)
        return answer.result

    def _answer(self) -> Answer:
        (size,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if size > MAX_ANSWER_BYTES:
            raise NoAnswer("The register's answer is too large.")
        try:
            return answer_decoder.decode(self._exactly(size))
        except UNREADABLE:
            raise NoAnswer("The register's answer cannot be read. Is it of the same release?") from None

    def _exactly(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            piece = self._sock.recv(min(size - len(received), 1 << 20))
            if not piece:
                raise NoAnswer("The register ended the connection. Look whether the platform is running, and why not.")
            received += piece
        return bytes(received)


def _raise(fault: Fault) -> NoReturn:
    family: type[TenzijError] = CallerError if fault.status < 500 else OperatorError
    kind: type[TenzijError] = type(family.__name__, (family,), {"status": fault.status, "code": fault.code})
    raise kind(fault.message, param=fault.param)
