"""What a probe is: a function that tries to get through one door.

Rules
- Getting through is returning: the door is open, and the text returned says what was reached.
- Held is raising OSError, or `Held` where an answer rather than an error shows it.
- Any other exception means that the probe itself is broken, which counts as not held.
- A fatal probe is one that is stopped by the death of its process; it runs in a process of its own.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_S = 2.0


class Held(Exception):
    """The door is closed; the message says how that shows."""


@dataclass(frozen=True)
class Surroundings:
    """What a probe may know of the host, told by who starts it, and what its process was handed."""

    role: str  # "gateway", "ledger", "register" or "worker"
    tcp: tuple[str, int]  # a listener of the host's
    tcp6: tuple[str, int] | None  # the same over IPv6, where the host has it
    udp: tuple[str, int]  # answers each datagram, as a resolver would
    unix: str  # path of a listening socket of the host's
    abstract: str  # name of one without a path
    victim: int  # pid of a process of the host's, of the same user
    supervisor: int  # pid of the supervisor
    namespaces: Mapping[str, int]  # kind to number, the host's
    own: str  # its folder, or a worker's weights; "" where there is none
    hidden: Mapping[str, str]  # what it is to a path that shall not be visible
    read_only: Mapping[str, str]  # what it is to a folder or file that shall not be writable
    devices: tuple[str, ...]  # device nodes of the host's that were not granted
    descriptors: int  # how many it may have open beside the standard three
    memory_bytes: int  # what it was granted
    tmp_bytes: int
    landlock: int  # the version that should be in force; 0: this kernel has none
    loose: Callable[[], socket.socket] = field(compare=False)  # a TCP socket of the host's, bound to nothing
    stream: Callable[[], socket.socket] = field(compare=False)  # a TCP stream that was accepted on the host


@dataclass(frozen=True)
class Probe:
    """One attempt. `roles`: where it is tried; empty: everywhere."""

    name: str
    attempt: Callable[[Surroundings], str]
    roles: tuple[str, ...] = ()
    fatal: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    name: str
    held: bool
    detail: str


@dataclass
class Theme:
    """The probes of one file, in order."""

    probes: list[Probe] = field(default_factory=list)

    def probe(self, name: str, *roles: str, fatal: bool = False) -> Callable[[Attempt], Attempt]:
        """Adds the function below it under this name."""

        def add(attempt: Attempt) -> Attempt:
            self.probes.append(Probe(name, attempt, roles, fatal))
            return attempt

        return add


Attempt = Callable[[Surroundings], str]


def outcome(probe: Probe, surroundings: Surroundings) -> Outcome:
    """Tries it."""
    try:
        reached = probe.attempt(surroundings)
    except Held as held:
        return Outcome(probe.name, True, str(held))
    except OSError as error:
        return Outcome(probe.name, True, errno.errorcode.get(error.errno or 0, type(error).__name__))
    except Exception as error:  # noqa: BLE001  a broken probe must not pass for a closed door
        return Outcome(probe.name, False, f"the probe itself failed: {type(error).__name__}")
    return Outcome(probe.name, False, reached)


def surroundings_from(
    told: Mapping[str, Any], *, loose: Callable[[], socket.socket], stream: Callable[[], socket.socket]
) -> Surroundings:
    """From what came as JSON, with the two functions that make sockets."""
    values = dict(told)
    for name in ("tcp", "tcp6", "udp", "devices"):
        if values[name] is not None:
            values[name] = tuple(values[name])
    return Surroundings(**values, loose=loose, stream=stream)
