"""Runs a command as an ordinary user who may read the code, wherever root keeps it. A program, for root.

    python ordinary.py USER FOLDER COMMAND ARGUMENT …

FOLDER becomes the user's own and is its home. Root's clone and interpreter often lie below a folder that nobody else
may enter; such a folder is covered, in a mount namespace of this process alone, by an empty one in which only the way
to the code is laid.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tenzij.supervisor.confinement import stage
from tenzij.supervisor.confinement.code_view import code_view


def first_closed(path: Path) -> Path | None:
    """The topmost folder on the way to `path` that others may not enter."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)


def lay_way(paths: list[Path]) -> None:
    """Makes each path reachable, by its own name."""
    stage.show([])  # for the namespace; nothing is staged
    opened = {path: os.open(path, os.O_PATH) for path in paths if first_closed(path)}
    covered = {closed for path in paths if (closed := first_closed(path))}
    for folder in sorted(covered):
        stage._mount("tmpfs", str(folder), "tmpfs", 0)
        folder.chmod(0o755)
    for path, descriptor in opened.items():
        path.mkdir(parents=True)
        stage._mount(f"/proc/self/fd/{descriptor}", str(path), None, stage.MS_BIND | stage.MS_REC)


def main() -> None:
    user, home, command = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    repository = Path(__file__).parents[3]
    code = [Path(sys.base_prefix), Path(sys.prefix), *map(Path, code_view().search_path), repository]
    lay_way(list(dict.fromkeys([*code, home])))
    os.chown(home, user, user)
    stage.become(user)
    os.umask(0o022)
    environment = {"HOME": str(home), "TMPDIR": str(home), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    kept = {name: value for name, value in os.environ.items() if name.startswith("TENZIJ_")}
    os.execve(command[0], command, environment | kept)  # noqa: S606


if __name__ == "__main__":
    main()
