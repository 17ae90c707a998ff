"""Who is at the other end of a Unix stream, as the kernel recorded it when the other side connected or listened."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final

_UCRED: Final = struct.Struct("iII")  # struct ucred, unix(7)


@dataclass(frozen=True, slots=True)
class Peer:
    """A process, with numbers as they are seen from here. A process that is not visible from here has pid 0."""

    pid: int
    uid: int
    gid: int


def peer_of(sock: socket.socket) -> Peer:
    """Who connected to us; on a connected client's side, who listens. Raises OSError."""
    return Peer(*_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))
