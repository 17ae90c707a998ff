"""Whether a model's weights must be hashed at this start, and the record that says so.

Rules
- `verified.json` holds, for each SHA-256, what its file looked like when a worker last hashed it and found it right:
  device, inode, size, mtime and ctime, as numbers. Nobody but the supervisor can write there.
- A record is written only for a file that looked the same before the worker started and after it was ready.
- No record, one that cannot be read, or one that differs in anything: the worker hashes.
- `verify = "always"` hashes at every start; the record is kept all the same.

ctime cannot be set by a program, so a file whose content was changed and whose mtime was put back still differs. Who
can write to the disk below the file system, or set the clock, is not kept out by this: that is what "always" is for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from tenzij.channels.control import ModelSpec
from tenzij.supervisor.home import Home, replace_file
from tenzij.supervisor.role import Unfit
from tenzij.types import Sha256

_FILE_MODE: Final = 0o600


class Look(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file looks like from outside. Equal looks: not written to in between."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


def look_at(path: Path, spec: ModelSpec) -> Look:
    """What the weights' file looks like now. Raises Unfit when it cannot be the right one."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise Unfit(f"its weights are missing: there is no models/{path.name}", final=True) from None
    except OSError as error:
        raise Unfit(f"its weights, models/{path.name}, cannot be looked at: {error.strerror}", final=True) from None
    if not stat.S_ISREG(found.st_mode):
        raise Unfit(f"its weights, models/{path.name}, are not a plain file", final=True)
    if found.st_size != spec.size_bytes:
        raise Unfit(f"its weights have {found.st_size} bytes; the passport says {spec.size_bytes}", final=True)
    if os.geteuid() == 0 and not found.st_mode & stat.S_IROTH:
        raise Unfit(
            f"its worker, which has a user id of its own, cannot read the weights: chmod a+r models/{path.name}",
            final=True,
        )
    return Look(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def records(home: Home) -> Mapping[Sha256, Look]:
    """What was verified before; empty when that cannot be read."""
    try:
        return msgspec.json.decode(home.verified.read_bytes(), type=dict[Sha256, Look])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def remember(home: Home, weights: Sha256, look: Look) -> None:
    """Records that a file of this look was hashed and is right. Raises BadHome."""
    kept = dict(records(home))
    if kept.get(weights) != look:
        kept[weights] = look
        replace_file(home.verified, msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n", _FILE_MODE)
