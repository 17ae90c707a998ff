"""A worker program for tests, in the place of `engines.llamacpp_worker`: the fake engine, misbehaving as asked.

The model's id names the flags: `fake` behaves, `fake-stalls` stalls, `fake-slow.no-done` does both (`misbehaviour`).
What happens to the worker itself (never ready, a link in place of its socket) is here; what happens to answers is in
`fake_server`. Weights are verified as the real worker does it; any bytes will do for weights.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import Final, NoReturn

from tenzij.channels.control import Ready
from tenzij.engines.worker import CannotStart, WorkerConfig, receive_config, started, tell, wait_for_stop
from tenzij.testing.fake_server import DIED_STATUS, FakeEngine
from tenzij.testing.misbehaviour import Misbehaviour as Bad
from tenzij.testing.misbehaviour import misbehaviours_of

OTHER_WEIGHTS: Final = "0" * 64


def main(control: socket.socket) -> int:
    """Runs the worker; never returns: exits the process with the status, as the real one does."""
    os._exit(_run(control))


def _run(control: socket.socket) -> int:
    try:
        config = receive_config(control)
        if config is None:
            return 0
        bad = misbehaviours_of(config.model)
        ready, endpoint = started(config, start_fake)
    except CannotStart as error:
        tell(control, error.failed)
        return 1
    if Bad.WRONG_WEIGHTS in bad:
        ready = Ready({**ready.facts, "weights": OTHER_WEIGHTS})
    tell(control, ready, *_endpoint(endpoint, bad))
    wait_for_stop(control)
    if Bad.IGNORES_STOP in bad:
        _wait_for_ever()
    return 0


def start_fake(config: WorkerConfig, weights: str, path: str) -> None:
    """Serves at `path`, from a thread, as the real engine does."""
    bad = misbehaviours_of(config.model)
    if Bad.IGNORES_SIGTERM in bad:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if Bad.EXITS_AT_START in bad:
        os._exit(DIED_STATUS)
    if Bad.NEVER_READY in bad:
        _wait_for_ever()
    if Bad.FAILS_TO_START in bad or Bad.FAILS_FINALLY in bad:
        raise CannotStart("engine_start_failed", "the fake engine was told to fail", final=Bad.FAILS_FINALLY in bad)
    serving = threading.Event()
    engine = FakeEngine(*bad)

    async def serve() -> None:
        server = await asyncio.start_unix_server(engine.serve, path)
        serving.set()
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    if not serving.wait(10):
        raise CannotStart("engine_start_failed", "the fake engine does not listen")


def _endpoint(endpoint: int, bad: frozenset[Bad]) -> list[int]:
    """What to hand over as the socket."""
    if Bad.SENDS_NOTHING in bad:
        return []
    if Bad.SENDS_LINK not in bad and Bad.SENDS_FILE not in bad:
        return [endpoint]
    path = Path(tempfile.mkdtemp()) / "engine.sock"
    if Bad.SENDS_LINK in bad:
        path.symlink_to(f"/proc/{os.getpid()}/fd/{endpoint}")
    else:
        path.touch()
    swapped = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    path.unlink()
    path.parent.rmdir()
    return [swapped]


def _wait_for_ever() -> NoReturn:
    while True:
        signal.pause()
