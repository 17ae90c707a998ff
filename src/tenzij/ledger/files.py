"""The file system as the log uses it: every call that can fail, on one folder. Tests put a failing one in its place.

- Nothing here decides. Each method is one system call or a fixed few, and raises OSError as the system does.
- The folder is locked for the life of the object: two writers on one log cannot be.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Protocol

MODE = 0o600


class Files(Protocol):
    """One folder's files. A handle is a number."""

    def names(self) -> list[str]:
        """The files in the folder, in any order."""
        ...

    def size(self, name: str) -> int:
        """In bytes."""
        ...

    def read(self, name: str) -> bytes:
        """The whole file, from the device where the system can be made to."""
        ...

    def create(self, name: str) -> int:
        """Opens for writing; what there was is gone."""
        ...

    def open(self, name: str) -> int:
        """Opens for writing what there is."""
        ...

    def write(self, handle: int, offset: int, data: bytes) -> int:
        """Writes at `offset`, maybe not all; how many bytes."""
        ...

    def truncate(self, handle: int, size: int) -> None:
        """Cuts the file off."""
        ...

    def sync(self, handle: int) -> None:
        """Returns once the file's bytes and size are on the device."""
        ...

    def close(self, handle: int) -> None:
        """Frees the handle; never fails."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Puts `old` in the place of `new`, all or nothing."""
        ...

    def sync_folder(self) -> None:
        """Returns once the folder's names are on the device."""
        ...


class FolderInUse(OSError):
    """Another process writes to this folder."""


class RealFiles:
    """A folder on disk, made when it is not there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder
        self._sync_path(folder.parent)  # crash before: no folder, and so nothing was acknowledged in it
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._folder)
            raise FolderInUse("another process writes to this log") from None

    def release(self) -> None:
        """Unlocks the folder."""
        os.close(self._folder)

    def names(self) -> list[str]:
        """See Files."""
        return os.listdir(self._path)

    def size(self, name: str) -> int:
        """See Files."""
        return os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_size

    def read(self, name: str) -> bytes:
        """See Files."""
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self._folder)
        with os.fdopen(handle, "rb") as file:
            # After a failed sync the kernel may hold pages that the device does not: drop what can be dropped.
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            return file.read()

    def create(self, name: str) -> int:
        """See Files."""
        return self._open(name, os.O_CREAT | os.O_TRUNC)

    def open(self, name: str) -> int:
        """See Files."""
        return self._open(name, 0)

    def write(self, handle: int, offset: int, data: bytes) -> int:
        """See Files."""
        return os.pwrite(handle, data, offset)

    def truncate(self, handle: int, size: int) -> None:
        """See Files."""
        os.ftruncate(handle, size)

    def sync(self, handle: int) -> None:
        """See Files. fdatasync also brings a changed size to the device."""
        os.fdatasync(handle)

    def close(self, handle: int) -> None:
        """See Files."""
        with contextlib.suppress(OSError):
            os.close(handle)

    def rename(self, old: str, new: str) -> None:
        """See Files."""
        os.rename(old, new, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def sync_folder(self) -> None:
        """See Files."""
        os.fsync(self._folder)

    def _open(self, name: str, flags: int) -> int:
        flags |= os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(name, flags, MODE, dir_fd=self._folder)

    @staticmethod
    def _sync_path(path: Path) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
