"""One platform at a time for one TENZIJ_HOME: a lock on the folder itself, so that no lock file is left.

The lock (flock(2)) lives on an open folder and ends with the last process that has it open: the supervisor and its
sweeper. So it is free only after a killed supervisor's remains were swept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tenzij.supervisor.home import BadHome, Home, bad_home
from tenzij.supervisor.operator_socket import who_listens

POLL_S: Final = 0.02
DYING_S: Final = 0.3  # one that was killed a moment ago may still seem to listen


class AlreadyRunning(BadHome):
    """Another process holds this TENZIJ_HOME."""

    code = "already_running"


@contextmanager
def locked(home: Home, wait_s: float) -> Iterator[int]:
    """Holds TENZIJ_HOME; gives the descriptor that does. For the length of `wait_s` a holder may still let go.

    One that runs the platform will not, so it is not waited for. Raises AlreadyRunning, naming the process if known.
    """
    descriptor = _opened(home.path)
    try:
        began_s = time.monotonic()
        while not _try(descriptor, home.path):
            waited_s = time.monotonic() - began_s
            pid = who_listens(home)
            if pid is not None and waited_s >= DYING_S:
                raise AlreadyRunning(f"tenzij already runs on {home.path}, as process {pid}: stop it there first")
            if waited_s >= max(wait_s, DYING_S):
                raise AlreadyRunning(f"another tenzij is busy with {home.path}: try again when it is done")
            time.sleep(POLL_S)
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise bad_home(error, path) from None


def _try(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EINTR):
            return False
        raise bad_home(error, path) from None
    return True
