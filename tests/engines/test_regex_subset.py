"""Patterns: what passes means the same to Python as what was sent, what does not is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.engines.faults import UnfollowableSchema
from tenzij.engines.regex_subset import pattern_anew


@pytest.mark.parametrize(
    ("pattern", "anew"),
    [
        ("^$", "^$"),
        ("^abc$", "^abc$"),
        ("^é☃+$", "^é☃+$"),
        ("^a|b$", "^(?:a|b)$"),
        ("^(a|b)*c?$", "^(?:a|b)*c?$"),
        ("^(?:a)$", "^(?:a)$"),
        ("^(a(b(c)))$", "^(?:a(?:b(?:c)))$"),
        (r"^\d+$", "^[0-9]+$"),
        (r"^[\d.-]+$", r"^[0-9\.\-]+$"),
        (r"^[-a]$", r"^[\-a]$"),
        (r"^[\d-z]$", r"^[0-9\-z]$"),
        ("^[a-z_]{2,5}$", "^[a-z_]{2,5}$"),
        ("^[^a-z]{3,}$", "^[^a-z]{3,}$"),
        ("^[1-9][0-9]{3} ?[A-Z]{2}$", "^[1-9][0-9]{3} ?[A-Z]{2}$"),
        (r"^\.\*\$\/\-$", r"^\.\*\$\/\-$"),
        ("^.{0,9}$", "^.{0,9}$"),
        ("^a/b:c@d$", r"^a\/b:c@d$"),
        ("^[&~]$", r"^[\&\~]$"),
        ("^(a{10}){30}$", "^(?:a{10}){30}$"),
        ("^a{2,}b{,3}$".replace("{,", "{0,"), "^a{2,}b{0,3}$"),
    ],
)
def test_what_is_followed(pattern: str, anew: str) -> None:
    assert pattern_anew(pattern)[0] == anew
    re.compile(anew)


@pytest.mark.parametrize(
    ("pattern", "cost"),
    [("^$", 0), ("^a*b+$", 2), ("^[a-z]{3}x$", 4), ("^(ab|c){10}d$", 31), ("^((a{3}b){2}c){5}$", 45), ("^a{0,}$", 1)],
)
def test_what_a_pattern_costs(pattern: str, cost: int) -> None:
    assert pattern_anew(pattern)[1] == cost


@pytest.mark.parametrize(
    "pattern",
    [
        "", "^", "$", "a", "^a", "a$", "^^a$", "^a$b$", "^a^$",
        "^*$", "^+a$", "^a**$", "^a+?$", "^a{2}{3}$", "^a{5,3}$", "^a{,3}$", "^a{x}$", "^a{$", "^a{1,2$", "^{2}$",
        "^a{301}$", "^a{0,9999}$", "^(a{10}){31}$", "^((a{4}){10}){10}$", "^a{99999}$", "^a{150}b{151}$",
        "^(a$", "^a)$", "^()($", "^(?=a)b$", "^(?!a)b$", "^(?<n>a)$", "^(?i)a$", "^(?$",
        "^[]$", "^[^]$", "^[a$", "^[z-a]$", r"^[a-\d]$", "^[[:alpha:]]$", "^[a",
        r"^\w$", r"^\b$", r"^\1$", r"^\n$", r"^\u0041$", r"^\x41$", r"^\p{L}$", "^\\$", "^a\n$", "^[\x00]$",
        "^" + "(" * 17 + ")" * 17 + "$", "^" + "a" * 301 + "$",
    ],
)  # fmt: skip
def test_what_is_refused(pattern: str) -> None:
    with pytest.raises(UnfollowableSchema):
        pattern_anew(pattern)


@given(st.text(alphabet="ab19()[]{}^$|?*+.,-\\d:=!<é", max_size=14), st.text(alphabet="ab19.-é()", max_size=5))
def test_what_passes_means_the_same(body: str, text: str) -> None:
    pattern = f"^{body}$"
    try:
        anew, _ = pattern_anew(pattern)
    except UnfollowableSchema:
        return
    # Python's `\d` takes all digits of Unicode, JSON Schema's does not; and `^a|b$` is held to as one whole.
    original = re.compile(f"(?:{body})", re.ASCII)
    assert bool(re.compile(anew[1:-1]).fullmatch(text)) == bool(original.fullmatch(text))
