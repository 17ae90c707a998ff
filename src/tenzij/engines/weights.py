"""Weights on disk: their hash, and what tells whether a file was touched since it was hashed.

Rules
- A file is opened once, without following a link, and hashed through that descriptor; whoever loads it loads
  through the same descriptor (`/proc/self/fd/N`). So a file that is swapped after hashing is not the one that loads.
- What `weights_identity` gives changes with every write: the kernel sets ctime, and nobody can set it back short of
  turning the clock. A worker compares it before hashing and after loading, so a write in between is seen.
- Hashes are lower-case hex SHA-256, as in a model's passport.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from tenzij.errors import OperatorError
from tenzij.types import Sha256


class WeightsMismatch(OperatorError):
    """The file is not the one that the passport describes."""

    code = "weights_mismatch"


class WeightsUnreadable(OperatorError):
    """There is no file that can be opened there."""

    code = "weights_unreadable"


def weights_identity(path: str | Path | int) -> dict[str, int]:
    """Numbers that differ as soon as the file (or open descriptor) is another one or was written to.

    Equal numbers mean: the same inode, not written since. Raises OSError.
    """
    found = os.stat(path)  # noqa: PTH116 (a descriptor as well)
    return {
        "dev": found.st_dev,
        "inode": found.st_ino,
        "size_bytes": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,
    }


def sha256_of(path: str | Path | int) -> Sha256:
    """The SHA-256 of the whole file; an open descriptor is read from its start and stays open. Raises OSError.

    Costs about 0.1 seconds for each 100 MB that is in memory already.
    """
    if isinstance(path, int):
        os.lseek(path, 0, os.SEEK_SET)
    with open(path, "rb", buffering=0, closefd=not isinstance(path, int)) as file:
        return Sha256(hashlib.file_digest(file, "sha256").hexdigest())


def open_weights(path: str | Path) -> int:
    """A descriptor of the regular file at `path`, which the caller owns. Raises WeightsUnreadable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise WeightsUnreadable(f"the weights cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise WeightsUnreadable("the weights are not a plain file")
    return descriptor


def verify_weights(descriptor: int, expected: Sha256, size_bytes: int, *, hashed: bool) -> None:
    """Raises WeightsMismatch, naming what was expected and what was found, unless the open file is the expected one.

    The size is always compared; the bytes are hashed if `hashed`.
    """
    found_bytes = os.fstat(descriptor).st_size
    if found_bytes != size_bytes:
        raise WeightsMismatch(
            f"the weights have {found_bytes} bytes, their passport says {size_bytes} (SHA-256 {expected}): "
            "put the right file back"
        )
    if hashed and (found := sha256_of(descriptor)) != expected:
        raise WeightsMismatch(
            f"the weights have SHA-256 {found}, their passport says {expected}: put the right file back"
        )
