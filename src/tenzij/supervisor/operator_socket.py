"""The operator's socket: `run/control.sock` below TENZIJ_HOME, which exists while the platform runs.

Rules
- Mode 0600 in a folder of mode 0700, and who connects must be the platform's own user or root, as the kernel says.
- It is bound and connected through the folder's descriptor, so that the length of TENZIJ_HOME does not matter
  (a Unix address holds 107 bytes).
- It carries nothing itself: the supervisor hands each accepted stream to the register.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tenzij.supervisor.home import Home, bad_home
from tenzij.supervisor.peer import peer_of

NAME: Final = "control.sock"
BACKLOG: Final = 16
CONNECT_TIMEOUT_S: Final = 2.0


@contextmanager
def listening(home: Home) -> Iterator[socket.socket]:
    """Listens, without blocking, and takes the socket away in the end. Only under the lock. Raises BadHome.

    One that a killed platform left is replaced.
    """
    with _bound(home) as sock:
        try:
            yield sock
        finally:
            remove(home)


def _bound(home: Home) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _folder(home) as folder:
            remove(home)
            os.fchmod(sock.fileno(), 0o600)  # what bind gives the file, whatever the umask allows
            sock.bind(f"/proc/self/fd/{folder}/{NAME}")
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise bad_home(error, home.run / NAME) from None
    return sock


def remove(home: Home) -> None:
    """Takes the file away, if it is there."""
    (home.run / NAME).unlink(missing_ok=True)


def connected(home: Home) -> socket.socket | None:
    """A stream to the running platform; None when none runs."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_TIMEOUT_S)  # its queue may be full
        with _folder(home) as folder:
            sock.connect(f"/proc/self/fd/{folder}/{NAME}")
        sock.settimeout(None)
    except OSError:
        sock.close()
        return None
    return sock


def who_listens(home: Home) -> int | None:
    """The process id of the running platform; None when none runs."""
    sock = connected(home)
    if sock is None:
        return None
    with sock:
        return peer_of(sock).pid


def may_operate(sock: socket.socket) -> bool:
    """Whether who connected is the platform's own user, or root."""
    with suppress(OSError):
        return peer_of(sock).uid in (os.geteuid(), 0)
    return False


@contextmanager
def _folder(home: Home) -> Iterator[int]:
    descriptor = os.open(home.run, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
