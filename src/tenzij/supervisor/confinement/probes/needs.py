"""What must work inside, so that a sandbox is not tight because nothing runs in it at all."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from tenzij.supervisor.confinement.probes.probe import Held, Surroundings, Theme

THEME = Theme()


def _works(does: Callable[[], str]) -> str:
    try:
        done = does()
    except OSError as error:
        return f"it cannot: {errno.errorcode.get(error.errno or 0)}"
    raise Held(done)


@THEME.probe("write durably to its own folder", "ledger", "register")
def write_own(host: Surroundings) -> str:
    def does() -> str:
        path = Path(host.own) / ".tenzij-check"
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, b"written by tenzij check\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink()
        return "written and synced"

    return _works(does)


@THEME.probe("read its weights", "worker")
def read_weights(host: Surroundings) -> str:
    def does() -> str:
        with Path(host.own).open("rb") as file:
            return f"{len(file.read(4))} bytes read"

    return _works(does)


@THEME.probe("run threads")
def run_threads(_: Surroundings) -> str:
    ran = threading.Event()
    thread = threading.Thread(target=ran.set)
    thread.start()
    thread.join()
    raise Held("it does")
