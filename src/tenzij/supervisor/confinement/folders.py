"""The files, folders and devices of the host that a profile names, made ready and checked before a child starts.

Rules
- A writable folder is its child's alone: made where missing, owned by the child's user id, closed to others. As root,
  an empty folder changes hands; one that is filled and belongs to somebody else is refused, as changing owners below it
  would follow what it holds.
- What is read-only must be there and readable for the child's user id; nothing is changed about it.
- A link is never followed to the source of a bind: the last part of its path must be the thing itself.
- A device that was declared must be there, be a device, and be open to the child's user id.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tenzij.errors import OperatorError
from tenzij.supervisor.confinement.profiles import Bind

PRIVATE: Final = 0o700


class UnfitFolder(OperatorError):
    """A file or folder that a child needs is missing, is a link, or is not open to it alone."""

    code = "unfit_folder"


def prepared(binds: Iterable[Bind], user: int) -> tuple[Bind, ...]:
    """The binds by their sources' real paths, fit for a child that runs as `user`. Raises UnfitFolder."""
    return tuple(_prepared(bind, user) for bind in binds)


def _prepared(bind: Bind, user: int) -> Bind:
    source = Path(os.path.realpath(bind.source.parent)) / bind.source.name
    try:
        if bind.writable:
            _make_own(source, user)
        else:
            _verify_readable(source, user)
    except FileNotFoundError:
        raise UnfitFolder(f"{source} does not exist") from None
    except OSError as error:
        raise UnfitFolder(f"{source} cannot be used: {error.strerror}") from None
    return Bind(source, bind.target, bind.writable)


def _make_own(folder: Path, user: int) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(PRIVATE)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != user:
            _give(descriptor, folder, found.st_uid, user)
        if stat.S_IMODE(found.st_mode) != PRIVATE:
            os.fchmod(descriptor, PRIVATE)
    finally:
        os.close(descriptor)


def _give(descriptor: int, folder: Path, found: int, user: int) -> None:
    if os.listdir(descriptor):
        raise UnfitFolder(
            f"{folder} belongs to user id {found} and should belong to {user}: was the platform run by another user "
            f"before? If all in it is in order: chown -R {user}:{user} {folder}"
        )
    os.fchown(descriptor, user, user)


def _verify_readable(source: Path, user: int) -> None:
    found = source.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise UnfitFolder(f"{source} is a link; put the file or folder itself in its place")
    wanted = 0o5 if stat.S_ISDIR(found.st_mode) else 0o4
    if found.st_uid == user:
        wanted <<= 6
    elif user == os.geteuid():
        return  # a group may let us: opening will tell
    if found.st_mode & wanted != wanted:
        raise UnfitFolder(f"{source} cannot be read by the process that needs it: chmod a+r {source}")


def verify_devices(devices: Iterable[str], user: int) -> None:
    """Raises UnfitFolder unless a child that runs as `user` can open each."""
    for path in map(Path, devices):
        try:
            found = path.lstat()
        except OSError as error:
            raise UnfitFolder(f"worker.devices: {path} cannot be used: {error.strerror}") from None
        if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
            raise UnfitFolder(f"worker.devices: {path} is not a device")
        open_to_it = found.st_mode & 0o6 == 0o6 if user != os.geteuid() else os.access(path, os.R_OK | os.W_OK)
        if not open_to_it:
            raise UnfitFolder(f"worker.devices: {path} is not open to the worker's user: chmod a+rw {path}")
