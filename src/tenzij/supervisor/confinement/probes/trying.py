"""Starts a profile with the probes as its program, and hears what held.

Rules
- The sandbox is the profile's own; only the program differs.
- That a door held counts once the process has said so and lived on. One that ends in the middle of a probe was not
  stopped: it became another program, or is broken. Only a fatal probe may end so, and only in the way that the filter
  of system calls ends a process.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tenzij.channels.control import BadMessage, Failed, Ready, Start, receive_at_supervisor, send
from tenzij.supervisor.confinement import landlock
from tenzij.supervisor.confinement.launcher import Launched
from tenzij.supervisor.confinement.probes.all import probes_for
from tenzij.supervisor.confinement.probes.bait import Bait, accepted_stream, namespaces, tcp_listener
from tenzij.supervisor.confinement.probes.places import devices, hidden, read_only
from tenzij.supervisor.confinement.probes.probe import Outcome
from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.confinement.sandbox import TMP_BYTES

PROGRAM: Final = "tenzij.supervisor.confinement.probes.main"
DEADLINE_S: Final = 60.0
KILLED_BY_FILTER: Final = (-signal.SIGSYS, 128 + signal.SIGSYS)  # seen directly, and through bubblewrap

Launch = Callable[[Profile], Launched]


def outcomes(profile: Profile, home: Path, bait: Bait, launch: Launch) -> Iterator[Outcome]:
    """What came of every probe that this profile is to be tried with."""
    role = profile.name.partition(":")[0]
    yield from _attempt(profile, [probe.name for probe in probes_for(role, fatal=False)], home, bait, launch)
    for probe in probes_for(role, fatal=True):
        yield from _attempt(profile, [probe.name], home, bait, launch, fatal=True)


def surroundings(profile: Profile, home: Path, bait: Bait) -> dict[str, Any]:
    """What the probes are told, as JSON."""
    return {
        "role": profile.name.partition(":")[0],
        "tcp": bait.tcp.getsockname(),
        "tcp6": bait.tcp6.getsockname()[:2] if bait.tcp6 else None,
        "udp": bait.udp.getsockname(),
        "unix": str(bait.unix),
        "abstract": bait.abstract,
        "victim": bait.victim,
        "supervisor": os.getpid(),
        "namespaces": namespaces(),
        "own": next((bind.target for bind in profile.binds), ""),
        "hidden": hidden(profile, home, bait.secret),
        "read_only": read_only(profile),
        "devices": devices(profile),
        "descriptors": 4 if profile.listener else 3,
        "memory_bytes": profile.memory_bytes,
        "tmp_bytes": TMP_BYTES,
        "landlock": landlock.abi(),
    }


def _attempt(
    profile: Profile, names: list[str], home: Path, bait: Bait, launch: Launch, *, fatal: bool = False
) -> Iterator[Outcome]:
    launched = launch(replace(profile, program=PROGRAM))
    heard = _Heard(names)
    try:
        with _handed(profile.listener) as sockets:
            told = {"surroundings": surroundings(profile, home, bait), "probes": names, "accepts": profile.listener}
            with contextlib.suppress(OSError):
                send(launched.control, Start(told), [sock.fileno() for sock in sockets])
            _listen(launched, heard, bait)
        if not heard.ended:
            launched.process.kill()
        status = launched.process.wait(DEADLINE_S)
        yield from heard.outcomes(status, launched.early_words(), fatal=fatal)
    finally:
        launched.process.kill()
        launched.process.wait()
        launched.close()


@contextlib.contextmanager
def _handed(listener: bool) -> Iterator[list[socket.socket]]:
    """A TCP socket of the host's, and an accepted stream or a listener where a client waits."""
    with contextlib.ExitStack() as stack:
        loose = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        if listener:
            listening = stack.enter_context(tcp_listener())
            stack.enter_context(socket.create_connection(listening.getsockname()))
            yield [loose, listening]
        else:
            accepted, _ = map(stack.enter_context, accepted_stream())
            yield [loose, accepted]


@dataclass
class _Heard:
    """What one process said, until it ended or was too late."""

    names: list[str]
    ended: bool = False
    trying: str | None = None
    failure: str = ""

    def __post_init__(self) -> None:
        self._came: dict[str, Outcome] = {}
        self._done = False

    def take(self, message: object) -> None:
        match message:
            case Ready({"trying": str(name)}):
                self.trying = name
            case Ready({"probe": str(name), "held": bool(held), "detail": str(detail)}):
                self._came[name] = Outcome(name, held, detail)
                self.trying = None
            case Ready({"done": True}):
                self._done = True
            case Failed(_, reason):
                self.failure = reason

    def outcomes(self, status: int, words: str, *, fatal: bool) -> Iterator[Outcome]:
        for name in self.names:
            if name in self._came:
                yield self._came[name]
            elif fatal and name == self.trying and status in KILLED_BY_FILTER:
                yield Outcome(name, True, "the filter of system calls ended the process")
            elif name == self.trying:
                yield Outcome(name, False, f"the process ended in it, with status {status}")
            else:
                yield Outcome(name, False, f"not tried: {self.failure or words or 'the process ended before it'}")


def _listen(launched: Launched, heard: _Heard, bait: Bait) -> None:
    """Hears the process until it ends, and answers for the bait meanwhile."""
    until = time.monotonic() + DEADLINE_S
    with selectors.DefaultSelector() as selector:
        selector.register(launched.control, selectors.EVENT_READ)
        selector.register(bait.udp, selectors.EVENT_READ)
        while not heard.ended and (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if key.fileobj is bait.udp:
                    bait.answer()
                else:
                    _hear(launched.control, heard)


def _hear(control: socket.socket, heard: _Heard) -> None:
    try:
        received = receive_at_supervisor(control)
    except BlockingIOError:
        return
    except (OSError, BadMessage):
        received = None
    if received is None:
        heard.ended = True
    else:
        heard.take(received[0])
