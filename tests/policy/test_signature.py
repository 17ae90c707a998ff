"""Signatures of policy versions: over these bytes, with this key, for this purpose."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tenzij.policy.signature import BadSignature, signature_of, verify_signature

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


@given(st.binary())
def test_what_was_signed_verifies(payload: bytes) -> None:
    verify_signature(payload, signature_of(payload, KEY), PUBLIC)


def test_the_signature_is_plain_ed25519_under_our_prefix() -> None:
    """Written out, so that another program can verify what is on file."""
    assert signature_of(b"x", KEY) == KEY.sign(b"tenzij policy version 1\x00x")


@pytest.mark.parametrize(
    ("payload", "signature", "public"),
    [
        (b"y", signature_of(b"x", KEY), PUBLIC),
        (b"x\x00", signature_of(b"x", KEY), PUBLIC),
        (b"x", KEY.sign(b"x"), PUBLIC),
        (b"x", signature_of(b"x", OTHER), PUBLIC),
        (b"x", signature_of(b"x", KEY), OTHER.public_key().public_bytes_raw()),
        (b"x", signature_of(b"x", KEY)[:-1], PUBLIC),
        (b"x", signature_of(b"x", KEY) + b"\x00", PUBLIC),
        (b"x", b"", PUBLIC),
        (b"x", b"\x00" * 64, PUBLIC),
        (b"x", signature_of(b"x", KEY), b""),
        (b"x", signature_of(b"x", KEY), PUBLIC + b"\x00"),
    ],
    ids=[
        "other_bytes",
        "longer_bytes",
        "without_prefix",
        "signed_by_another",
        "other_public_key",
        "short_signature",
        "long_signature",
        "no_signature",
        "zero_signature",
        "no_public_key",
        "long_public_key",
    ],
)
def test_anything_else_does_not(payload: bytes, signature: bytes, public: bytes) -> None:
    with pytest.raises(BadSignature):
        verify_signature(payload, signature, public)
