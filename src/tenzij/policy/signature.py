"""Signs and verifies a policy version's canonical bytes: Ed25519 (RFC 8032).

Rules
- What is signed begins with `DOMAIN`, so that this signature fits nothing else that the same key might ever sign.
- The verifier is given the public key by a way that the signer cannot change: the supervisor's start message.
- The signature is checked before the bytes are parsed.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tenzij.errors import PlatformError

DOMAIN = b"tenzij policy version 1\x00"


class BadSignature(PlatformError):
    """The bytes were not signed, as they are, by the holder of the policy key."""

    code = "bad_policy_signature"


def signature_of(snapshot: bytes, key: Ed25519PrivateKey) -> bytes:
    """64 bytes; the same for the same bytes and key."""
    return key.sign(DOMAIN + snapshot)


def verify_signature(snapshot: bytes, signature: bytes, public_key: bytes) -> None:
    """Raises BadSignature unless `signature` is that of `snapshot` under the 32-byte `public_key`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, DOMAIN + snapshot)
    except (InvalidSignature, ValueError):
        raise BadSignature("The policy version does not carry a valid signature, so it is not used.") from None
