"""Keys and the ring: recognisable, known by the whole digest only, refused with stable codes."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.errors import CallerError
from tenzij.identity.caller import Caller
from tenzij.identity.keys import (
    KeyRecord,
    Keyring,
    digest_of,
    is_well_formed,
    key_from_authorization,
    key_from_random,
)
from tenzij.identity.refusals import ExpiredKey, KeyRefused, LoopbackOnly, MissingKey, RevokedKey, UnknownKey
from tenzij.types import KeyId, UseCaseId

PEPPER = b"p" * 32
KEY = key_from_random(bytes(range(32)))
SECRETS = st.binary(min_size=32, max_size=32)


def record(key: str = KEY, key_id: str = "k_1", **changes: Any) -> KeyRecord:
    fields: dict[str, Any] = {
        "id": KeyId(key_id),
        "digest": digest_of(key, PEPPER),
        "owner": "o_1",
        "use_cases": (UseCaseId("verkenning"),),
        "expires_ms": 10_000,
        "loopback_only": True,
        "revoked": False,
    }
    return KeyRecord(**{**fields, **changes})


def ring(*records: KeyRecord) -> Keyring:
    return Keyring(PEPPER, records)


def test_the_form_of_a_key_is_fixed() -> None:
    assert KEY == "tenzij_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8qvwUlg"
    assert re.fullmatch(r"tenzij_[A-Za-z0-9_-]{49}", KEY)


def test_the_digest_is_hmac_sha256_over_the_whole_key() -> None:
    """Written out, because stored digests must stay valid in every later release."""
    expected = hmac.new(PEPPER, b"tenzij api key 1\x00" + KEY.encode(), hashlib.sha256).digest()
    assert digest_of(KEY, PEPPER) == expected


@given(SECRETS)
def test_each_made_key_is_well_formed(secret: bytes) -> None:
    assert is_well_formed(key_from_random(secret))


@given(SECRETS, SECRETS)
def test_different_secrets_make_different_keys_and_digests(one: bytes, other: bytes) -> None:
    assert (key_from_random(one) == key_from_random(other)) == (one == other)
    same = digest_of(key_from_random(one), PEPPER) == digest_of(key_from_random(other), PEPPER)
    assert same == (one == other)


@given(st.integers(0, len(KEY) - 1), st.sampled_from("ABCxyz019-_"))
def test_one_wrong_character_is_noticed_without_looking_it_up(place: int, wrong: str) -> None:
    mistyped = KEY[:place] + wrong + KEY[place + 1 :]
    assert is_well_formed(mistyped) == (mistyped == KEY)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_keys_and_peppers_of_another_length_are_not_made(length: int) -> None:
    with pytest.raises(ValueError, match="32"):
        key_from_random(b"x" * length)
    with pytest.raises(ValueError, match="32"):
        digest_of(KEY, b"x" * length)
    with pytest.raises(ValueError, match="32"):
        Keyring(b"x" * length, ())


def test_a_good_key_gives_its_caller() -> None:
    caller = ring(record()).caller(KEY, now_ms=9_999)
    assert caller == Caller(KeyId("k_1"), "o_1", (UseCaseId("verkenning"),), 10_000, True)


@pytest.mark.parametrize(
    ("presented", "changes", "now_ms", "refusal"),
    [
        (None, {}, 0, MissingKey),
        ("", {}, 0, MissingKey),
        ("x", {}, 0, UnknownKey),
        (KEY[:-1], {}, 0, UnknownKey),
        (KEY + "A", {}, 0, UnknownKey),
        (KEY + "\n", {}, 0, UnknownKey),
        (" " + KEY, {}, 0, UnknownKey),
        (KEY.lower(), {}, 0, UnknownKey),
        ("ténzij_" + KEY[7:], {}, 0, UnknownKey),
        ("A" * 1_000_000, {}, 0, UnknownKey),
        (key_from_random(b"\x01" * 32), {}, 0, UnknownKey),
        (KEY, {}, 10_000, ExpiredKey),
        (KEY, {}, 10_001, ExpiredKey),
        (KEY, {"revoked": True}, 0, RevokedKey),
        (KEY, {"revoked": True}, 10_001, RevokedKey),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_no_good_key_is_refused(
    presented: str | None, changes: dict[str, Any], now_ms: int, refusal: type[KeyRefused]
) -> None:
    with pytest.raises(refusal) as caught:
        ring(record(**changes)).caller(presented, now_ms)
    assert type(caught.value) is refusal


@pytest.mark.parametrize(
    ("known", "now_ms", "refusal"),
    [
        (record(revoked=True), 9_999, RevokedKey),
        (record(revoked=True), 10_000, RevokedKey),
        (record(), 10_000, ExpiredKey),
        (record(key_id="k_2"), 9_999, UnknownKey),
    ],
)
def test_a_key_that_was_accepted_is_looked_at_again_by_its_id(
    known: KeyRecord, now_ms: int, refusal: type[KeyRefused]
) -> None:
    ring(record()).verify_valid(KeyId("k_1"), 9_999)
    with pytest.raises(refusal):
        ring(known).verify_valid(KeyId("k_1"), now_ms)


def test_pitfall_19_keys_that_share_a_long_prefix_are_not_confused() -> None:
    """Two keys equal in their first 37 secret characters: each is only itself (CVE-2026-35030)."""
    ours, theirs = (key_from_random(b"s" * 30 + tail) for tail in (b"\x00\x01", b"\x00\x02"))
    assert ours[:47] == theirs[:47]
    keys = ring(record(ours, "k_ours"))
    assert keys.caller(ours, 0).key == "k_ours"
    with pytest.raises(UnknownKey):
        keys.caller(theirs, 0)
    assert ring(record(ours, "k_ours"), record(theirs, "k_theirs")).caller(theirs, 0).key == "k_theirs"


def test_a_key_of_another_installation_is_unknown() -> None:
    elsewhere = Keyring(b"q" * 32, [record()])
    with pytest.raises(UnknownKey):
        elsewhere.caller(KEY, 0)


@given(st.lists(SECRETS, unique=True, max_size=6), st.lists(SECRETS, unique=True, max_size=6))
def test_exactly_the_issued_keys_are_known(issued: list[bytes], others: list[bytes]) -> None:
    keys = ring(*(record(key_from_random(secret), f"k_{secret.hex()}") for secret in issued))
    assert len(keys) == len(issued)
    for secret in (*issued, *others):
        if secret in issued:
            assert keys.caller(key_from_random(secret), 0).key == f"k_{secret.hex()}"
        else:
            with pytest.raises(UnknownKey):
                keys.caller(key_from_random(secret), 0)


def test_secrets_do_not_show_in_repr() -> None:
    for shown in (repr(ring(record())), repr(record())):
        assert "digest" not in shown
        assert repr(PEPPER) not in shown
        assert repr(digest_of(KEY, PEPPER)) not in shown


@pytest.mark.parametrize(
    ("header", "presented"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER  abc ", "abc"),
        ("Basic abc", None),
        ("abc", None),
        ("Bearer a b", "a b"),
    ],
)
def test_the_authorization_header(header: str | None, presented: str | None) -> None:
    assert key_from_authorization(header) == presented


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (MissingKey, 401, "missing_api_key"),
        (UnknownKey, 401, "invalid_api_key"),
        (ExpiredKey, 401, "expired_api_key"),
        (RevokedKey, 401, "revoked_api_key"),
        (LoopbackOnly, 403, "loopback_only_key"),
    ],
)
def test_each_refusal_has_its_status_code_and_sentence(refusal: type[KeyRefused], status: int, code: str) -> None:
    error = refusal()
    assert isinstance(error, CallerError)
    assert (error.status, error.code) == (status, code)
    assert "tenzij key create" in str(error) or "--loopback-only" in str(error)
