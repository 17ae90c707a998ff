"""Which system calls a child may make, by its profile: the filters' rules. Pure tables; `seccomp.py` compiles them.

Rules
- By allow-list (`syscalls.py` for what is harmless whatever its arguments are): what is not named does not exist.
- No connection is ever made from inside: `connect` is refused to everybody, on any socket, so that a stream that was
  handed over cannot be turned to another peer; sending names no peer and never opens (`MSG_FASTOPEN`); no option that
  opens or repairs a connection can be set. `io_uring`, which goes around a filter, does not exist.
- No socket is made from inside but Unix stream pairs; a profile that `listens` may make Unix stream sockets as well.
- `listen` answers success to others without doing anything: event loops call it on a listener that they were handed.
- No process and no namespace is made: `clone` makes threads only; `clone3`, whose flags a filter cannot see, does not
  exist.
- No signal reaches another process; no memory of another process is read; no memory is shared but with a file.
- Two filters: `BEFORE` is in force when the program is executed, `AFTER` is laid over it once the program has shut
  itself in, and takes away what that needed: executing, Landlock, further filters.
- A profile with device nodes gets what their drivers need: `ioctl` at will, shared and locked memory.

It holds without Landlock, which older kernels lack.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from tenzij.supervisor.confinement.profiles import Profile
from tenzij.supervisor.confinement.seccomp import ALL_BITS, Argument, Rule, allowing, refusing
from tenzij.supervisor.confinement.syscalls import HARMLESS, WITH_DEVICES

MSG_FASTOPEN: Final = 0x20000000
CLONE_VM, CLONE_THREAD, CLONE_PTRACE = 0x100, 0x10000, 0x2000
CLONE_NEW_ANY: Final = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
MAP_SHARED, MAP_ANONYMOUS = 0x1, 0x20
SOCK_FLAGS: Final = socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK

IOCTLS: Final = {
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
    "FIONREAD": 0x541B,
    "TCGETS": 0x5401,  # is it a terminal? It never is
    "TIOCGWINSZ": 0x5413,
}
FCNTLS: Final = {
    **{"F_DUPFD": 0, "F_GETFD": 1, "F_SETFD": 2, "F_GETFL": 3, "F_SETFL": 4},
    **{"F_GETLK": 5, "F_SETLK": 6, "F_SETLKW": 7, "F_OFD_GETLK": 36, "F_OFD_SETLK": 37, "F_OFD_SETLKW": 38},
    **{"F_DUPFD_CLOEXEC": 1030, "F_SETPIPE_SZ": 1031, "F_GETPIPE_SZ": 1032},
}
SOCKET_OPTIONS: Final = {
    # Nothing here opens, repairs, redirects or labels a connection, or reaches another protocol.
    socket.SOL_SOCKET: (
        *(socket.SO_REUSEADDR, socket.SO_KEEPALIVE, socket.SO_LINGER, socket.SO_SNDBUF, socket.SO_RCVBUF),
        *(socket.SO_RCVTIMEO, socket.SO_SNDTIMEO, socket.SO_REUSEPORT),
    ),
    socket.IPPROTO_TCP: (
        *(socket.TCP_NODELAY, socket.TCP_CORK, socket.TCP_QUICKACK, socket.TCP_USER_TIMEOUT),
        *(socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT),
    ),
}
PRCTLS: Final = {
    **{"PR_SET_NAME": 15, "PR_GET_NAME": 16, "PR_GET_DUMPABLE": 3, "PR_GET_SECCOMP": 21, "PR_CAPBSET_READ": 23},
    **{"PR_GET_NO_NEW_PRIVS": 39, "PR_SET_VMA": 0x53564D41},
}
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38


def rules_before(profile: Profile) -> Iterator[Rule]:
    """What is allowed from the moment that the program is executed."""
    yield from (Rule(call) for call in HARMLESS)
    yield from _descriptors(bool(profile.devices))
    yield from _memory(bool(profile.devices))
    yield from _processes()
    yield from _sockets(profile)
    yield from (Rule(call) for call in ("execve", "landlock_create_ruleset", "landlock_add_rule"))
    yield Rule("landlock_restrict_self")
    yield Rule("prctl", (Argument(0, PR_SET_SECCOMP),))


def rules_after() -> Iterator[Rule]:
    """What is refused on top, once the program is shut in."""
    for call in ("execve", "execveat", "seccomp", "landlock_create_ruleset", "landlock_add_rule"):
        yield Rule(call, error=errno.EPERM)
    yield Rule("landlock_restrict_self", error=errno.EPERM)
    yield Rule("prctl", (Argument(0, PR_SET_SECCOMP),), error=errno.EPERM)


def _descriptors(devices: bool) -> Iterator[Rule]:
    if devices:
        yield Rule("ioctl")
    else:
        yield from (Rule("ioctl", (Argument(1, request),)) for request in IOCTLS.values())
    yield from (Rule("fcntl", (Argument(1, command),)) for command in FCNTLS.values())


def _memory(devices: bool) -> Iterator[Rule]:
    if devices:
        yield Rule("mmap")
        yield from (Rule(call) for call in WITH_DEVICES)
        return
    # Shared memory without a file counts in no limit of this process.
    yield Rule("mmap", (Argument(3, 0, MAP_ANONYMOUS),))
    yield Rule("mmap", (Argument(3, MAP_ANONYMOUS, MAP_ANONYMOUS | MAP_SHARED),))
    yield from (Rule(call, error=errno.EPERM) for call in ("mlock", "mlock2", "mlockall"))


def _processes() -> Iterator[Rule]:
    threads_only = CLONE_VM | CLONE_THREAD
    yield Rule("clone", (Argument(0, threads_only, threads_only | CLONE_PTRACE | CLONE_NEW_ANY),))
    yield Rule("tgkill", (Argument(0, 1),))  # itself: it is process 1 of its namespace, and alone
    yield Rule("prlimit64", (Argument(0, 0),))
    yield from (Rule("prctl", (Argument(0, option),)) for option in PRCTLS.values())
    yield Rule("prctl", (Argument(0, PR_SET_DUMPABLE), Argument(1, 0)))
    yield Rule("prctl", (Argument(0, PR_SET_NO_NEW_PRIVS), Argument(1, 1)))
    for call in ("kill", "sched_setscheduler", "sched_setparam", "setpriority"):
        yield Rule(call, error=errno.EPERM)


def _sockets(profile: Profile) -> Iterator[Rule]:
    unix_stream = (
        Argument(0, socket.AF_UNIX),
        Argument(1, socket.SOCK_STREAM, ALL_BITS & ~SOCK_FLAGS),
        Argument(2, 0),
    )
    yield Rule("socketpair", unix_stream)
    if profile.listens:
        yield Rule("socket", unix_stream)
        yield Rule("bind")
        yield Rule("listen")
    else:
        yield Rule("listen", error=0)
    if profile.listens or profile.listener:
        yield from (Rule(call) for call in ("accept", "accept4"))
    yield Rule("sendto", (Argument(3, 0, MSG_FASTOPEN), Argument(4, 0)))
    yield Rule("sendmsg", (Argument(2, 0, MSG_FASTOPEN),))
    yield Rule("sendmmsg", (Argument(3, 0, MSG_FASTOPEN),))
    for level, options in SOCKET_OPTIONS.items():
        yield from (Rule("setsockopt", (Argument(1, level), Argument(2, option))) for option in options)


@lru_cache(maxsize=16)
def _before(listener: bool, listens: bool, devices: tuple[str, ...]) -> bytes:
    return allowing(rules_before(Profile("", "", devices=devices, listener=listener, listens=listens)))


def filter_before(profile: Profile) -> bytes:
    """The program that bubblewrap installs. Raises NoSeccomp."""
    return _before(profile.listener, profile.listens, profile.devices)


@lru_cache(maxsize=1)
def filter_after() -> bytes:
    """The program that the child installs itself, before any of our or others' code is imported. Raises NoSeccomp."""
    return refusing(rules_after())
