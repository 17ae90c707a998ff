"""The register's key, pinned at the first start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenzij.supervisor.home import Home, prepared
from tenzij.supervisor.pin import PolicyKeyChanged, verify_pinned

KEY, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return prepared(tmp_path / "home")


def test_the_first_key_is_pinned_and_holds(home: Home) -> None:
    assert verify_pinned(home, KEY) == KEY
    assert home.policy_key.read_text() == KEY + "\n"
    assert verify_pinned(home, KEY) == KEY


def test_another_key_is_refused_and_changes_nothing(home: Home) -> None:
    verify_pinned(home, KEY)
    with pytest.raises(PolicyKeyChanged, match=r"another key than the one pinned in .*policy\.pub"):
        verify_pinned(home, OTHER)
    assert home.policy_key.read_text() == KEY + "\n"


@pytest.mark.parametrize("key", [None, "", "ab" * 31, "AB" * 32, "ab" * 32 + "\n", 5, ["ab"], "zz" * 32])
def test_what_is_not_a_key_is_refused_and_not_pinned(home: Home, key: object) -> None:
    with pytest.raises(PolicyKeyChanged):
        verify_pinned(home, key)
    assert not home.policy_key.exists()


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\n", b"ab\n", (KEY + KEY).encode()])
def test_a_pin_that_cannot_be_read_is_not_replaced(home: Home, content: bytes) -> None:
    home.policy_key.write_bytes(content)
    with pytest.raises(PolicyKeyChanged, match="does not hold a key"):
        verify_pinned(home, KEY)
    assert home.policy_key.read_bytes() == content
