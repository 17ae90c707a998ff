"""Canonical JSON: the vectors of RFC 8785 that lie in our subset, what lies outside it, and round trips."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.ledger.canonical import MAX_INTEGER, NotCanonical, canonical_bytes, value_from_canonical

# From RFC 8785 sections 3.2.2 to 3.2.4 and the test data that it names (arrays, structures, unicode, weird strings).
VECTORS: list[tuple[object, str]] = [
    ([None, True, False], "[null,true,false]"),
    ("\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/", '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'),
    ([56, {"d": True, "10": None, "1": []}], '[56,{"1":[],"10":null,"d":true}]'),
    (
        {
            "1": {"f": {"f": "hi", "F": 5}, "\n": 56},
            "10": {},
            "": "empty",
            "a": {},
            "111": [{"e": "y", "E": "n"}],
            "A": {},
        },
        '{"":"empty","1":{"\\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"n","e":"y"}],"A":{},"a":{}}',
    ),
    ({"Unnormalized Unicode": "A\u030a"}, '{"Unnormalized Unicode":"A\u030a"}'),
    ("\x00\x07\x08\t\n\x0b\x0c\r\x1f\x7f\u2028", '"\\u0000\\u0007\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\u2028"'),
    ("\U0001f602</script>", '"\U0001f602</script>"'),
    ([0, -1, MAX_INTEGER, -MAX_INTEGER], "[0,-1,9007199254740991,-9007199254740991]"),
]


@pytest.mark.parametrize(("value", "text"), VECTORS)
def test_vectors_of_the_rfc(value: object, text: str) -> None:
    assert canonical_bytes(value) == text.encode()
    assert value_from_canonical(text.encode()) == value


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        1e30,
        float("nan"),
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        "\ud800",
        ["a\udead"],
        {"é": 1},
        {"\ud800": 1},
        {1: "a"},
        {None: "a"},
        b"bytes",
        {"a": object()},
    ],
)
def test_values_without_a_canonical_form_are_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        canonical_bytes(value)


def test_a_tree_that_is_too_deep_is_refused_both_ways() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(NotCanonical):
        canonical_bytes(deep)
    with pytest.raises(NotCanonical):
        value_from_canonical(b"[" * 16_000)
    with pytest.raises(NotCanonical):
        value_from_canonical(b"[" * 100 + b"]" * 100)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" 1",
        b"1 ",
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":2}',
        b'{"a":1,"a":1}',
        b"1.0",
        b"1e2",
        b"-0",
        b"01",
        b"9007199254740992",
        b'"\\u0041"',
        b'"\\/"',
        b'"\\u000F"',
        b'"\\u000a"',
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"\\u20ac"',
        b'\xef\xbb\xbf"a"',
        b'{"\xc3\xa9":1}',
        b"{'a':1}",
        b"[1,]",
        b"NaN",
        b'"a',
        b"nul",
        b"1\n",
        b"[1][2]",
    ],
)
def test_bytes_that_are_not_canonical_are_refused(data: bytes) -> None:
    with pytest.raises(NotCanonical):
        value_from_canonical(data)


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_keys = st.text(st.characters(max_codepoint=127), max_size=8)
_integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
_values = st.recursive(
    st.none() | st.booleans() | _integers | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=20,
)


@given(_values)
def test_round_trip(value: object) -> None:
    data = canonical_bytes(value)
    assert value_from_canonical(data) == value
    assert json.loads(data) == value


@given(_values)
def test_another_writer_agrees(value: object) -> None:
    """Python's own encoder, told to sort and to escape as little as it can, writes the same but for 0x7f-like cases."""
    expected = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert canonical_bytes(value) == expected.encode()


@given(_values, st.data())
def test_any_other_spelling_is_refused(value: object, data: st.DataObject) -> None:
    canonical = canonical_bytes(value)
    position = data.draw(st.integers(0, len(canonical)))
    spaced = canonical[:position] + b" " + canonical[position:]
    try:
        read = value_from_canonical(spaced)
    except NotCanonical:
        return
    assert read != value  # the blank fell inside a string
