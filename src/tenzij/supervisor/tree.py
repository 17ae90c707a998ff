"""The processes below one process: who is among them, and how to signal them.

Rules
- Parenthood is read from `/proc/PID/stat`; what cannot be read is not among them (closed on failure).
- A process is signalled through a pidfd that was opened before its parenthood was checked once more, so that a number
  that was given to another process meanwhile is never hit.

A child of ours is bubblewrap with the confined processes below it. Signals go to those: bubblewrap itself would end on
SIGTERM and take them down unasked, and killed it would be gone before they are.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Final

_DEEPEST: Final = 64  # levels of parents looked at; ours are three


def parent_of(pid: int) -> int | None:
    """The parent's pid; None when there is no such process, or none that we may see."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat[stat.rindex(b")") + 2 :].split()[1])  # the name before it may hold blanks and brackets
    except (OSError, ValueError, IndexError):
        return None


def is_within(pid: int, root: int) -> bool:
    """Whether `pid` is `root` or a process below it."""
    for _ in range(_DEEPEST):
        if pid == root:
            return True
        parent = parent_of(pid) if pid > 1 else None
        if parent is None:
            return False
        pid = parent
    return False


def below(root: int) -> list[int]:
    """All processes below `root`, without itself, parents before children."""
    children: dict[int, list[int]] = {}
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit() and (parent := parent_of(int(entry.name))) is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(0), ()):
            found.append(pid)
            todo.append(pid)
    return found


def signal_below(root: int, number: signal.Signals) -> int:
    """Sends the signal to every process below `root`, without itself. How many there were."""
    reached = 0
    with contextlib.ExitStack() as held:
        # First all are held, then all are signalled: the children of one that ends are below `root` no more.
        descriptors = [_held(pid, root, held) for pid in below(root)]
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                if descriptor is not None:
                    signal.pidfd_send_signal(descriptor, number)
                    reached += 1
    return reached


def _held(pid: int, root: int, held: contextlib.ExitStack) -> int | None:
    """A pidfd of the process, if it is below `root` still."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    held.callback(os.close, descriptor)
    return descriptor if is_within(pid, root) else None
