"""The socket that a worker listens on, as the supervisor holds and connects it.

Rules
- A worker hands over an `O_PATH` descriptor: the place, not a stream. It must be of a socket, not of a link to one, and
  stays the same socket whatever happens to its name; the supervisor never looks up a name that a worker could change.
- At each connection who listens must be a process of that worker, under that worker's user id, as the kernel says.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat

from tenzij.channels.control import Refusal
from tenzij.supervisor import tree
from tenzij.supervisor.peer import peer_of


def verify_is_listening_socket(descriptors: list[int]) -> int:
    """The one descriptor handed over. Raises Refusal unless it is an `O_PATH` of a socket."""
    if len(descriptors) != 1:
        raise Refusal(f"handed over {len(descriptors)} descriptors instead of its socket alone")
    (descriptor,) = descriptors
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISLNK(kind):
        raise Refusal("handed over a symbolic link instead of its socket")
    if not stat.S_ISSOCK(kind):
        raise Refusal("handed over something that is not a socket")
    if not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_PATH:
        raise Refusal("handed over an open socket instead of the place where it listens")
    return descriptor


def connection_to(descriptor: int, pid: int, uid: int) -> socket.socket:
    """A stream to who listens there, which must be within `pid`'s processes and run under `uid`.

    Does not wait. Raises Refusal when nobody listens, when the queue is full, or when it is somebody else.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.connect(f"/proc/self/fd/{descriptor}")
        verify_peer(sock, pid, uid)
    except OSError as error:
        sock.close()
        full = error.errno == errno.EAGAIN
        raise Refusal("the worker has too many connections waiting" if full else "the worker does not listen") from None
    except Refusal:
        sock.close()
        raise
    return sock


def verify_peer(sock: socket.socket, pid: int, uid: int) -> None:
    """Raises Refusal unless a process within `pid`, under `uid`, listens at the other end."""
    peer = peer_of(sock)
    if peer.uid != uid or not tree.is_within(peer.pid, pid):
        raise Refusal("somebody else listens on the worker's socket")
