"""What is reported, and a child's own words in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.supervisor.events import MOST_CHARACTERS, Listening, presentable


@given(st.text())
def test_no_word_of_a_child_can_steer_a_terminal(text: str) -> None:
    shown = presentable(text)
    assert len(shown) <= MOST_CHARACTERS
    assert all(c == " " or (c.isprintable() and not c.isspace()) for c in shown)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("the disk is full", "the disk is full"),
        ("a\x1b[2Jb\r\nc\x07", "a [2Jb c"),
        ("links\u202eom", "links om"),
        ("gaten\u200bin\u2028regels", "gaten in regels"),
        ("café – één", "café – één"),
        ("x" * 1000, "x" * (MOST_CHARACTERS - 1) + "…"),
    ],
)
def test_words_are_one_plain_line(said: str, shown: str) -> None:
    assert presentable(said) == shown


def test_an_address_can_be_opened() -> None:
    assert Listening("127.0.0.1", 8484).url == "http://127.0.0.1:8484"
    assert Listening("::1", 8484).url == "http://[::1]:8484"
