"""The register's two secrets, files in its folder: the pepper that keys are digested with, and the policy signing key.

Rules
- Made once, at the first start, each file whole or not there at all (crash point: between the two; the next start makes
  the missing one, since the database does not know them yet).
- Mode 0600; a file that others may read is not used.
- Never made anew for a database that knows others: all keys would be dead, or all signatures foreign. That is a failure
  with a sentence.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tenzij.identity.keys import PEPPER_BYTES
from tenzij.register.refusals import RegisterFailed

PEPPER_FILE = "pepper"
SIGNING_FILE = "policy-signing-key.pem"
MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only the register holds; the gateway is given the pepper."""

    pepper: bytes = field(repr=False)
    signing_key: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> bytes:
        """The 32 bytes by which policy versions are verified."""
        return self.signing_key.public_key().public_bytes_raw()

    @property
    def pepper_check(self) -> str:
        """Tells whether a pepper is the same one, and nothing else about it."""
        return hmac.new(self.pepper, b"tenzij pepper check 1", hashlib.sha256).hexdigest()


def are_there(folder: Path) -> bool:
    """Whether any of the two files exists."""
    return any(os.path.lexists(folder / name) for name in (PEPPER_FILE, SIGNING_FILE))


def made_secrets(folder: Path) -> Secrets:
    """The secrets of a first start: what is missing is made. Raises RegisterFailed."""
    if not os.path.lexists(folder / PEPPER_FILE):
        _write(folder / PEPPER_FILE, os.urandom(PEPPER_BYTES))
    if not os.path.lexists(folder / SIGNING_FILE):
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(folder / SIGNING_FILE, pem)
    return secrets_in(folder)


def secrets_in(folder: Path) -> Secrets:
    """The secrets that are there. Raises RegisterFailed when one is missing, exposed or unreadable."""
    pepper = _read(folder / PEPPER_FILE)
    if len(pepper) != PEPPER_BYTES:
        raise _unreadable(PEPPER_FILE)
    try:
        key = load_pem_private_key(_read(folder / SIGNING_FILE), password=None)
    except (ValueError, TypeError):
        raise _unreadable(SIGNING_FILE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _unreadable(SIGNING_FILE)
    return Secrets(pepper, key)


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise RegisterFailed(
            "secret_missing",
            f"The register's file {path.name} is missing, and a new one would not fit what is on record. Put the last "
            "good copy of the whole register folder back.",
            final=True,
        ) from None
    except OSError:
        raise _unreadable(path.name) from None
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _unreadable(path.name)
        if mode & 0o077:
            raise RegisterFailed(
                "secret_exposed",
                f"Others on this machine may read the register's file {path.name}. Take that away (chmod 600) and find "
                "out who could.",
                final=True,
            )
        return file.read(MAX_BYTES)


def _unreadable(name: str) -> RegisterFailed:
    return RegisterFailed(
        "secret_unreadable",
        f"The register's file {name} does not hold what it should. Put the last good copy of the whole register folder "
        "back.",
        final=True,
    )


def _write(path: Path, content: bytes) -> None:
    """Crash points: before the rename nothing is there under the name; after it everything is, on disk."""
    made = path.with_name(path.name + ".new")
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    made.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
