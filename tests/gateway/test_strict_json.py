"""Bytes -> tree: what one reader could take another way is refused, with a sentence that quotes nothing."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.errors import CallerError
from tenzij.gateway import strict_json
from tenzij.gateway.refusals import BodyTooComplex, InvalidJson
from tenzij.gateway.strict_json import tree_from_bytes

CANARY = "kanarie"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"kanarie",
        b'{"kanarie": 1,}',
        b'{"kanarie": 1} kanarie',
        b"{'kanarie': 1}",
        b'{"kanarie": 1, "kanarie": 2}',
        b'{"a": {"kanarie": 1, "b": 2, "kanarie": 1}}',
        rb'{"a": 1, "\u0061": 2}',
        b'{"kanarie": NaN}',
        b'{"kanarie": -Infinity}',
        b'{"kanarie": 1e999}',
        b'{"kanarie": ' + b"9" * 5000 + b"}",
        b'"kanarie\xff"',
        b'"\xed\xa0\x80kanarie"',  # a surrogate in UTF-8's clothes
        b"\xef\xbb\xbf{}",
        '{"kanarie": 1}'.encode("utf-16"),
        b'"kanarie\n"',
        rb'"kanarie\x"',
        rb'"\ud800kanarie"',
        rb'"kanarie\uDFFF"',
        rb'{"\udc00kanarie": 1}',
        rb'[{"a": ["\udc00\ud800"]}]',
    ],
)
def test_what_is_not_strict_json_is_refused_without_a_quote(body: bytes) -> None:
    with pytest.raises(InvalidJson) as refused:
        tree_from_bytes(body, 32)
    assert CANARY not in refused.value.message
    assert refused.value.code == "invalid_json"


def test_the_sentence_says_where() -> None:
    with pytest.raises(InvalidJson, match="line 2, column 7"):
        tree_from_bytes(b'{\n "a": }', 32)
    with pytest.raises(InvalidJson, match="byte 2 "):
        tree_from_bytes(b'"a\xff"', 32)


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"\\ud83D\\uDe00 en \\u00e9"', '["\\\\ud800"]'])
def test_whole_characters_pass(text: str) -> None:
    assert tree_from_bytes(text.encode(), 32) == json.loads(text)


@pytest.mark.parametrize(("depth", "passes"), [(4, True), (5, False), (2_000, False), (200_000, False)])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded(depth: int, passes: bool, opening: str, closing: str) -> None:
    body = (opening * depth + "0" + closing * depth).encode()
    if passes:
        tree_from_bytes(body, 4)
    else:
        with pytest.raises(BodyTooComplex):
            tree_from_bytes(body, 4)


@pytest.mark.parametrize("unit", [b"{}", b"0", b'""', b"[]", b"0.5", b'"\\ud83d\\ude00"'])
def test_the_worst_of_four_megabytes_takes_a_bounded_time(unit: bytes) -> None:
    body = b"[" + b",".join([unit] * (4 * 1024 * 1024 // (len(unit) + 1))) + b"]"
    began = time.process_time()
    with pytest.raises(BodyTooComplex):
        tree_from_bytes(body, 32)
    assert time.process_time() - began < 0.4  # some 0.05 s; without the count before it is 0.6 s and more


def test_four_megabytes_of_text_are_fast() -> None:
    body = json.dumps({"text": "een { lange [ tekst, met: tekens " * 125_000}).encode()
    began = time.process_time()
    tree_from_bytes(body, 32)
    assert time.process_time() - began < 0.5


leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
trees = st.recursive(
    leaves | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30
)


@given(trees)
def test_every_strict_tree_comes_through_as_it_is(tree: Any) -> None:
    assert tree_from_bytes(json.dumps(tree).encode(), 64) == tree
    assert tree_from_bytes(json.dumps(tree, ensure_ascii=False).encode(), 64) == tree


@given(
    st.binary()
    | st.text().map(lambda text: text.encode())
    | st.text(alphabet='{}[]",:\\u0123dD8 eE+-.').map(str.encode)
)
def test_any_bytes_give_a_tree_or_a_refusal(body: bytes) -> None:
    try:
        tree = tree_from_bytes(body, 16)
    except CallerError:
        return
    json.dumps(tree, allow_nan=False, ensure_ascii=False).encode()


def test_the_bounds_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "MAX_OBJECTS", 3)
    monkeypatch.setattr(strict_json, "MAX_VALUES", 8)
    tree_from_bytes(b"[{}, {}, {}]", 32)
    with pytest.raises(BodyTooComplex):
        tree_from_bytes(b"[{}, {}, {}, {}]", 32)
    tree_from_bytes(b"[1, 2, 3, 4, 5, 6, 7, 8]", 32)
    with pytest.raises(BodyTooComplex):
        tree_from_bytes(b"[1, 2, 3, 4, 5, 6, 7, [8]]", 32)
    tree_from_bytes(rb'["[[[[[[,,,,,,{{{{\\", "\",,,,,[{{{{[,,[,"]', 32)
