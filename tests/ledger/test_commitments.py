"""Commitments: who has key and text can prove it, who lacks either learns nothing."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from tenzij.ledger.commitments import ANSWER, KEY_BYTES, QUESTION, commitment, is_commitment_to, new_key


def test_it_is_hmac_sha256_over_label_zero_and_text() -> None:
    key = bytes(range(KEY_BYTES))
    expected = hmac.new(key, b"tenzij vraag 1\x00Wie?", hashlib.sha256).hexdigest()
    assert commitment(key, QUESTION, b"Wie?") == expected
    assert is_commitment_to(expected, key, QUESTION, b"Wie?")


def test_every_part_matters() -> None:
    key = new_key()
    made = commitment(key, QUESTION, b"Wie?")
    assert not is_commitment_to(made, new_key(), QUESTION, b"Wie?")
    assert not is_commitment_to(made, key, ANSWER, b"Wie?")
    assert not is_commitment_to(made, key, QUESTION, b"Wie!")


def test_keys_are_fresh() -> None:
    assert len({new_key() for _ in range(100)}) == 100


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        commitment(b"", QUESTION, b"")
