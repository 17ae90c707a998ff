"""The layout of TENZIJ_HOME, its making, and the small files that the supervisor keeps there.

    TENZIJ_HOME/            0700
      models/               0700   weights, <sha256>.gguf, read-only in use
      ledger/               0700   the ledger's own
      register/             0700   the register's own
      supervisor/           0700   verified.json: which weights were hashed, and what their file looked like then
      run/                  0700   control.sock, while the platform runs
      policy.pub            0644   the register's public key, pinned at the first start

Rules
- TENZIJ_HOME belongs to who runs the platform and is writable for nobody else; otherwise nothing starts.
- The folders of children are theirs, under a user id of their own when the platform is started as root: the launcher
  makes them (`folders.py`).
- A small file is replaced whole: written beside, synced, renamed.
- Each failure of the file system becomes a sentence with what to do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tenzij.errors import OperatorError

PRIVATE: Final = 0o700
_FOLDERS: Final = ("models", "supervisor", "run")
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

_ADVICE: Final = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the file system is read-only; set TENZIJ_HOME to a folder that you may write in",
    errno.EACCES: "access is denied; make it yours, or set TENZIJ_HOME to a folder that you may write in",
    errno.EPERM: "that is not permitted; make it yours, or set TENZIJ_HOME to a folder that you may write in",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EEXIST: "something that is not a folder is in its place; move it away",
}


class BadHome(OperatorError):
    """TENZIJ_HOME cannot be used as it is."""

    code = "bad_home"


@dataclass(frozen=True, slots=True)
class Home:
    """TENZIJ_HOME, by the names of its parts."""

    path: Path

    @property
    def models(self) -> Path:
        """Weights."""
        return self.path / "models"

    @property
    def run(self) -> Path:
        """What exists only while the platform runs."""
        return self.path / "run"

    @property
    def verified(self) -> Path:
        """Which weights were hashed."""
        return self.path / "supervisor" / "verified.json"

    @property
    def policy_key(self) -> Path:
        """The register's public key."""
        return self.path / "policy.pub"


def prepared(path: Path) -> Home:
    """TENZIJ_HOME at `path`, made where missing. Raises BadHome."""
    try:
        path.mkdir(PRIVATE, parents=True, exist_ok=True)
        verify_private(path)
        for name in _FOLDERS:
            _make_folder(path / name)
    except OSError as error:
        raise bad_home(error, path) from None
    return Home(path)


def verify_private(path: Path) -> None:
    """Raises BadHome unless the folder is ours and writable for nobody else; OSError when it cannot be looked at."""
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise BadHome(
            f"{path} belongs to user id {found.st_uid}, and you are {os.geteuid()}: "
            "run as its owner, or set TENZIJ_HOME to a folder of your own"
        )
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise BadHome(f"{path} can be written by others: run chmod go-w {path}")


def bad_home(error: OSError, path: Path) -> BadHome:
    """The sentence for a failure of the file system at or below `path`."""
    where = error.filename or path
    advice = _ADVICE.get(error.errno or 0, error.strerror or error.__class__.__name__)
    return BadHome(f"{where} cannot be used: {advice}")


def _make_folder(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(PRIVATE)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise BadHome(f"{path} belongs to user id {found.st_uid} and should belong to {os.geteuid()}")
        if stat.S_IMODE(found.st_mode) != PRIVATE:
            os.fchmod(descriptor, PRIVATE)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Puts `content` at `path` whole or not at all, and durably. Raises BadHome."""
    new = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            os.fchmod(descriptor, mode)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise bad_home(error, path) from None


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
