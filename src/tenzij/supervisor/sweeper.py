"""Takes away what a killed supervisor leaves on disk: the operator's socket. Its children end by themselves.

A small shell waits in a session of its own, so that no Ctrl-C and no closed terminal ends it, for the end of a pipe
that the supervisor alone holds open. It holds the lock on TENZIJ_HOME with the supervisor, so that no successor starts,
and makes its own socket, before the old one is gone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tenzij.supervisor.home import Home, bad_home
from tenzij.supervisor.operator_socket import NAME

_SCRIPT: Final = 'read -r nothing; rm -f -- "$1"'
_SHELL: Final = Path("/bin/sh")
_END_TIMEOUT_S: Final = 2.0


@contextmanager
def sweeping(home: Home, lock: int) -> Iterator[None]:
    """Sweeps at the end of the context, and also when this process does not live to see it. Raises BadHome."""
    try:
        sweeper = subprocess.Popen(
            [_SHELL, "-c", _SCRIPT, "tenzij-sweeper", home.run / NAME],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock,),
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            start_new_session=True,
        )
    except OSError as error:
        raise bad_home(error, _SHELL) from None
    try:
        yield
    finally:
        with suppress(subprocess.TimeoutExpired, OSError):
            sweeper.communicate(timeout=_END_TIMEOUT_S)  # closes the pipe
