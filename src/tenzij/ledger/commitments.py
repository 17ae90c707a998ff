"""Commitments to prompt and answer: whoever holds the text can prove it was this one; the log alone tells nothing.

Rules
- HMAC-SHA-256 under a fresh 256-bit key for each entry, over the commitment's label, a zero byte, and the text's bytes.
- The key never enters the log. It goes to the caller and into the erasable store (`key_store`): once both are gone, the
  commitment says nothing any more, not even by guessing a short text.
- Which bytes stand for a prompt or an answer is said in `docs/ledger-format.md`.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

KEY_BYTES: Final = 32
QUESTION: Final = b"tenzij vraag 1"
ANSWER: Final = b"tenzij antwoord 1"


def new_key() -> bytes:
    """A key for one entry."""
    return secrets.token_bytes(KEY_BYTES)


def commitment(key: bytes, label: bytes, text: bytes) -> str:
    """64 hex digits. `label` is QUESTION or ANSWER. Raises ValueError for a key of another size."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a commitment's key is {KEY_BYTES} bytes")
    return hmac.digest(key, label + b"\x00" + text, "sha256").hex()


def is_commitment_to(recorded: str, key: bytes, label: bytes, text: bytes) -> bool:
    """Whether the entry's `recorded` commitment is to this text."""
    return hmac.compare_digest(recorded, commitment(key, label, text))
