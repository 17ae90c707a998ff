"""Which code a child process sees: the interpreter, the standard library, the installed packages and ours.

Rules
- Only what the supervisor itself runs on: its interpreter, and those folders on its search path that hold packages.
  The current folder and the folder of the script that was started are never among them.
- Everything is named by its real path, and what lies below /usr is not named again.
- No `.pth` file is executed in a child: its search path is given whole.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import tenzij

USR: Final = Path("/usr")
PACKAGE_FOLDERS: Final = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class CodeView:
    """Code as a child sees it, every path the same inside as outside."""

    python: Path  # the interpreter itself, no link
    shown: tuple[Path, ...]  # files and folders to show beside /usr, none inside another
    search_path: tuple[str, ...]  # folders of packages, added after the standard library
    package: Path  # the folder of the package tenzij


@lru_cache(maxsize=1)
def code_view() -> CodeView:
    """The view of the code that this process runs on."""
    python = Path(os.path.realpath(sys.executable))
    package = Path(os.path.realpath(tenzij.__file__)).parent
    packages = [Path(os.path.realpath(entry)) for entry in sys.path if Path(entry).name in PACKAGE_FOLDERS]
    packages = [folder for folder in dict.fromkeys(packages) if folder.is_dir()]
    libraries = [Path(os.path.realpath(os.__file__)).parents[1], *_platform_library()]
    return CodeView(
        python=python,
        shown=outermost([python, *libraries, *packages, package]),
        search_path=tuple(map(str, dict.fromkeys([*packages, package.parent]))),
        package=package,
    )


def _platform_library() -> list[Path]:
    """Where compiled modules lie, where that is not where the others do."""
    folder = Path(os.path.realpath(sys.base_exec_prefix)) / sys.platlibdir
    return [folder] if folder.is_dir() else []


def outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Those of `paths` that lie neither below /usr nor below another of them."""
    distinct = list(dict.fromkeys(paths))
    return tuple(
        path
        for path in distinct
        if not path.is_relative_to(USR) and not any(path != other and path.is_relative_to(other) for other in distinct)
    )


def unreadable_by_others(view: CodeView, limit: int = 3) -> Sequence[Path]:
    """Code that a user id of its own could not read, at most `limit` of it: a clone made under umask 077.

    Looks at what is shown, at all of our package, and at the first level of each folder of packages.
    """
    found: list[Path] = []
    for path in _looked_at(view):
        mode = path.stat().st_mode
        wanted = 0o005 if path.is_dir() or path == view.python else 0o004
        if mode & wanted != wanted:
            found.append(path)
            if len(found) == limit:
                break
    return found


def _looked_at(view: CodeView) -> Iterable[Path]:
    yield from view.shown
    yield from (path for path in view.package.rglob("*") if path.name != "__pycache__" and path.suffix != ".pyc")
    for folder in view.search_path:
        if folder != str(view.package.parent):
            yield from (path for path in Path(folder).iterdir() if path.exists())
