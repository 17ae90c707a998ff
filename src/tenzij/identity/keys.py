"""API keys: their form, the digest by which they are known, and the ring that tells whose a presented key is.

    tenzij_ + 43 characters (256 random bits, base64url) + 6 characters (CRC-32 of all before, base64url)

Rules
- The prefix and the checksum let a scanner for leaked secrets recognise a key without asking us:
  `tenzij_[A-Za-z0-9_-]{49}`. The checksum protects nothing.
- A key is known by HMAC-SHA-256 of the whole of it under the installation's pepper. That full digest is the only index
  and it is compared in constant time; no part of a key ever stands for it.
- A ring does not change: a new one replaces it whole.
- Randomness and time are passed in. Neither key, digest nor pepper shows in `repr`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from typing_extensions import override

from tenzij.identity.caller import Caller
from tenzij.identity.refusals import ExpiredKey, MissingKey, RevokedKey, UnknownKey
from tenzij.types import KeyId, UseCaseId

PREFIX = "tenzij_"
SECRET_BYTES = 32
PEPPER_BYTES = 32
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{49}}")
_DOMAIN = b"tenzij api key 1\x00"


def key_from_random(secret: bytes) -> str:
    """The key that carries `secret`, 32 bytes fresh from a good source. Raises ValueError for any other length."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a key is made of {SECRET_BYTES} random bytes")
    body = PREFIX + _base64url(secret)
    return body + _checksum(body)


def is_well_formed(presented: str) -> bool:
    """Whether it has the form of a key, checksum included. Says nothing about whether it is one."""
    return _FORM.fullmatch(presented) is not None and _checksum(presented[:-6]) == presented[-6:]


def digest_of(key: str, pepper: bytes) -> bytes:
    """The 32 bytes by which a key is known. Raises ValueError for a pepper of another length than 32."""
    if len(pepper) != PEPPER_BYTES:
        raise ValueError(f"the pepper is {PEPPER_BYTES} bytes")
    return hmac.digest(pepper, _DOMAIN + key.encode(), hashlib.sha256)


def key_from_authorization(header: str | None) -> str | None:
    """What an `Authorization` header presents: the token after `Bearer`; None without one or with another scheme."""
    if header is None:
        return None
    scheme, _, token = header.strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is kept of one key."""

    id: KeyId
    digest: bytes = field(repr=False)
    owner: str
    use_cases: tuple[UseCaseId, ...]
    expires_ms: int
    loopback_only: bool
    revoked: bool


class Keyring:
    """All keys that were issued, by their digest. Immutable."""

    __slots__ = ("_by_digest", "_by_id", "_pepper")

    def __init__(self, pepper: bytes, records: Iterable[KeyRecord]) -> None:
        """Raises ValueError for a pepper of another length than 32 bytes."""
        if len(pepper) != PEPPER_BYTES:
            raise ValueError(f"the pepper is {PEPPER_BYTES} bytes")
        self._pepper = pepper
        self._by_digest: Mapping[bytes, KeyRecord] = MappingProxyType({each.digest: each for each in records})
        self._by_id: Mapping[KeyId, KeyRecord] = MappingProxyType({each.id: each for each in self._by_digest.values()})

    def __len__(self) -> int:
        return len(self._by_digest)

    @override
    def __repr__(self) -> str:
        return f"<Keyring of {len(self)} keys>"

    def caller(self, presented: str | None, now_ms: int) -> Caller:
        """Whose key it is. `now_ms` is milliseconds since 1970, UTC.

        Raises MissingKey, UnknownKey, RevokedKey or ExpiredKey, each a 401 with its own code. That a key is revoked or
        expired is told only to who presents the whole of it.
        """
        if not presented:
            raise MissingKey()
        if not is_well_formed(presented):
            raise UnknownKey()
        digest = digest_of(presented, self._pepper)
        record = self._by_digest.get(digest)
        if record is None or not hmac.compare_digest(record.digest, digest):
            raise UnknownKey()
        _verify_live(record, now_ms)
        return Caller(record.id, record.owner, record.use_cases, record.expires_ms, record.loopback_only)

    def verify_valid(self, key: KeyId, now_ms: int) -> None:
        """Whether a key that an earlier ring took would be taken now. Lets nobody in: an id is no secret.

        Raises UnknownKey, RevokedKey or ExpiredKey.
        """
        record = self._by_id.get(key)
        if record is None:
            raise UnknownKey()
        _verify_live(record, now_ms)


def _verify_live(record: KeyRecord, now_ms: int) -> None:
    if record.revoked:
        raise RevokedKey()
    if now_ms >= record.expires_ms:
        raise ExpiredKey()


def _base64url(payload: bytes) -> str:
    return base64.urlsafe_b64encode(payload).rstrip(b"=").decode()


def _checksum(body: str) -> str:
    return _base64url(zlib.crc32(body.encode()).to_bytes(4, "big"))
