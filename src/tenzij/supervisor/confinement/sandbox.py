"""The arguments for bubblewrap that shut one child in. Pure: values in, a list of arguments out.

Rules
- Every namespace is new: no network but an empty one, no process, no host name, no IPC object of the host's.
- No capability, none to be had: `--cap-drop ALL`, and no user namespace can be made inside.
- Visible are /usr, the code, the profile's own binds and devices, a fresh /proc, a small private /tmp, and of /dev only
  what everybody may read. The root and /dev are read-only, so that no memory can be filled through them.
- No environment. The program is process 1 of its own process namespace, alone in it: bubblewrap's own helper is not
  there. It dies with bubblewrap, and bubblewrap with the supervisor.
- Before the program is executed the filter of system calls (`filters.py`) is in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HOST_NAME: Final = "tenzij"
TMP_BYTES: Final = 16 << 20
DEV_BYTES: Final = 64 << 10

FIXED: Final = (
    *("--unshare-all", "--unshare-user", "--cap-drop", "ALL", "--disable-userns"),
    *("--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--hostname", HOST_NAME),
    *("--proc", "/proc", "--size", str(TMP_BYTES), "--tmpfs", "/tmp"),  # noqa: S108
    *("--size", str(DEV_BYTES), "--tmpfs", "/dev"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing that the child sees: `place` is where bubblewrap finds it, `target` where the child does."""

    place: str
    target: str
    kind: str  # "--ro-bind", "--bind" or "--dev-bind"


def arguments(shown: Sequence[Shown], links: Sequence[tuple[str, str]], filter_descriptor: int) -> list[str]:
    """Bubblewrap's arguments up to the program: `links` are (where it points, name)."""
    made = [*FIXED]
    for to, name in links:
        made += ["--symlink", to, name]
    for item in shown:
        made += [item.kind, item.place, item.target]
    return [*made, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--seccomp", str(filter_descriptor)]
