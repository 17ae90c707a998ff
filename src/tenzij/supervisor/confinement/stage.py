"""The last step before bubblewrap, run as a small program of its own: `python -I -S stage.py SPEC`, SPEC being JSON.

    {"parent": pid of the supervisor,
     "limits": [[resource, value], …],              resource limits, soft and hard alike
     "user": null, or the user id to become, which only root can,
     "staged": [[source, place], …],                what to show that user below /run, only with "user"
     "argv": [program, argument, …]}                what to become, with an empty environment

Rules
- Standard library only, and a program rather than code between fork and exec of the supervisor, which has threads.
- When the supervisor dies, so does this process, from the first moment; bubblewrap then keeps to that.
- As root it first makes a mount namespace of its own, in which everything that the child may see is mounted below a
  fresh /run. So the unprivileged user that it becomes needs no right to pass through root's folders, and sources are
  opened once, without following links: what is mounted is what was checked.
- Started by root, it never goes on as root: no groups, no capabilities, no way back.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import stat
import sys
from pathlib import Path

RUN = "/run"
PR_SET_PDEATHSIG = 1
CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    arguments = [value.encode() if value is not None else None for value in (source, target, kind)]
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), None), f"mount {target}")


def show(staged: list[list[str]]) -> None:
    """Mounts each source below a fresh /run, in a mount namespace of this process alone."""
    _check(_libc.unshare(CLONE_NEWNS), "a mount namespace of its own")
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    opened = [(os.open(source, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC), place) for source, place in staged]
    _mount("tmpfs", RUN, "tmpfs", MS_NOSUID | MS_NODEV)
    Path(RUN).chmod(0o755)
    for descriptor, place in opened:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISLNK(kind):
            raise OSError(f"{place}: its source is a link")
        if stat.S_ISDIR(kind):
            Path(place).mkdir(0o755)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444))
        _mount(f"/proc/self/fd/{descriptor}", place, None, MS_BIND | MS_REC)
        os.close(descriptor)


def become(user: int) -> None:
    """Gives up root for good."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if os.getresuid() != (user, user, user) or os.getresgid() != (user, user, user) or os.getgroups():
        raise OSError("root could not be given up")


def die_with(parent: int) -> None:
    """Has the kernel kill this process when the one that started it ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "parent death signal")
    if os.getppid() != parent:  # it ended before the line above
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Does what the specification says and becomes its program."""
    spec = json.loads(sys.argv[1])
    die_with(spec["parent"])
    for number, value in spec["limits"]:
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
    os.umask(0o077)
    if spec["user"] is not None:
        show(spec["staged"])
        become(spec["user"])
        die_with(spec["parent"])  # the kernel forgets it at a change of user
    os.execve(spec["argv"][0], spec["argv"], {})  # noqa: S606  a list of arguments


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # noqa: BLE001  the one place that says it: the supervisor shows this line
        print(f"stage: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(70)
