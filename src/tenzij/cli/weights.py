"""Takes weights in: copies a file to TENZIJ_HOME/models under its hash, if that hash is what the passport says.

- The copy is hashed while it is written, so what was checked is what is kept.
- Its name is `<sha256>.gguf`, mode 0444; it appears under that name only when it is whole and on disk.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from tenzij.engines.weights import WeightsMismatch, sha256_of
from tenzij.errors import OperatorError
from tenzij.passport import Passport

_CHUNK_BYTES = 1 << 20


def take_in_weights(source: Path, passport: Passport, home: Path) -> Path:
    """The path of the weights below `home`, hashed and whole.

    Raises WeightsMismatch, or OperatorError when they cannot be read or written; nothing is kept then.
    """
    folder = home / "models"
    target = folder / f"{passport.file.sha256}.gguf"
    try:
        if target.exists() and sha256_of(target) == passport.file.sha256:
            _verify(source, sha256_of(source), passport)
            return target
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        _copy(source, target, passport)
    except OSError as error:
        raise OperatorError(f"the weights could not be taken in: {error.strerror} ({source.name})") from None
    return target


def _copy(source: Path, target: Path, passport: Passport) -> None:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".incoming-")
    try:
        digest = hashlib.sha256()
        with source.open("rb") as incoming, os.fdopen(descriptor, "wb") as copy:
            while chunk := incoming.read(_CHUNK_BYTES):
                digest.update(chunk)
                copy.write(chunk)
            copy.flush()
            os.fchmod(copy.fileno(), 0o444)
            os.fsync(copy.fileno())
        _verify(source, digest.hexdigest(), passport)
        os.replace(name, target)  # atomic: whole and checked, or not there
    finally:
        Path(name).unlink(missing_ok=True)


def _verify(source: Path, sha256: str, passport: Passport) -> None:
    if sha256 != passport.file.sha256:
        raise WeightsMismatch(
            f"{source.name} has SHA-256 {sha256}, its passport says {passport.file.sha256}: "
            "fetch the file again from its producer, or get the passport that belongs to it"
        )
    if source.stat().st_size != passport.file.size_bytes:
        raise WeightsMismatch(
            f"{source.name} has {source.stat().st_size} bytes, its passport says {passport.file.size_bytes}: "
            "mend size_bytes in the passport"
        )
