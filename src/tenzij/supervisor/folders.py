"""The files and folders of the host that a profile binds, made ready before a child starts.

Rules
- A writable folder is made when it is not there, and is its child's alone: mode 0700, owned by the child's user id.
- A link is never followed to the source of a bind: the last part of its path must be the thing itself.
- What is read-only must be there, and the child's user id must be able to read it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from tenzij.errors import OperatorError
from tenzij.supervisor.profiles import Bind


class UnfitFolder(OperatorError):
    """A file or folder that a child needs is missing, is a link, or cannot be read by it."""


def prepare(binds: Iterable[Bind], user: int | None) -> tuple[Bind, ...]:
    """The binds with their sources' real paths, ready for `user`, or for this process's own when None.

    Raises UnfitFolder.
    """
    return tuple(_prepared(bind, user) for bind in binds)


def _prepared(bind: Bind, user: int | None) -> Bind:
    source = Path(os.path.realpath(bind.source.parent)) / bind.source.name
    try:
        if bind.writable:
            source.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = source.lstat()
        if stat.S_ISLNK(found.st_mode):
            raise UnfitFolder(f"{source} is a link; put the file or folder itself there")
        if bind.writable:
            _make_own(source, found, user)
        elif user is not None:
            _check_readable(source, found, user)
    except FileNotFoundError:
        raise UnfitFolder(f"{source} does not exist") from None
    except FileExistsError:
        raise UnfitFolder(f"{source} is not a folder") from None
    except PermissionError:
        raise UnfitFolder(f"{source} cannot be used by the user that runs tenzij") from None
    return Bind(source, bind.target, bind.writable)


def _make_own(folder: Path, found: os.stat_result, user: int | None) -> None:
    if user is not None and found.st_uid != user:
        for path, folders, files in os.walk(folder):  # never into links
            for name in (*folders, *files):
                os.lchown(os.path.join(path, name), user, user)
        os.chown(folder, user, user, follow_symlinks=False)  # last: done halfway, it is done again
    if user is None and found.st_uid != os.geteuid():
        raise UnfitFolder(f"{folder} belongs to another user: run tenzij as that user, or as root")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def _check_readable(source: Path, found: os.stat_result, user: int) -> None:
    wanted = 0o005 if stat.S_ISDIR(found.st_mode) else 0o004
    if found.st_uid != user and found.st_mode & wanted != wanted:
        raise UnfitFolder(f"{source} can be read by root alone, which no child runs as: chmod a+r {source}")
