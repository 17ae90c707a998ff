"""Bytes -> one JSON tree, stricter than the standard asks, so that no two readers can understand it differently.

Refused, each with a sentence that gives a position but never quotes:
- bytes that are not UTF-8, a byte order mark, escapes that spell a lone surrogate;
- the same key twice in one object (one reader takes the first, another the last);
- NaN, Infinity, numbers beyond a double's range, integers of thousands of digits;
- nesting deeper than `max_depth`, more than `MAX_OBJECTS` objects or `MAX_VALUES` values: time on the event loop.

RFC 8259; I-JSON (RFC 7493) for the first three.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Never

from tenzij.gateway.refusals import BodyTooComplex, InvalidJson

MAX_OBJECTS = 20_000
MAX_VALUES = 200_000

_OPENERS = (b"[", b"{", b",")  # each value but the first comes after one of these
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def tree_from_bytes(body: bytes, max_depth: int) -> Any:
    """The tree that `body` states. Raises InvalidJson or BodyTooComplex."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8: byte {error.start} cannot be read. Send JSON in UTF-8.") from None
    _verify_size(body)
    tree = _parsed(text)
    _verify_depth(tree, max_depth)
    if _SURROGATE_ESCAPE.search(body):
        _verify_text(tree)
    return tree


def _verify_size(body: bytes) -> None:
    """Counts before anything is made: 4 MB of empty lists would hold the event loop for most of a second."""
    if sum(map(body.count, _OPENERS)) <= MAX_VALUES and body.count(b"{") <= MAX_OBJECTS:
        return
    bare = _STRINGS.sub(b"", body)  # a long text may have as many brackets and commas as it likes
    if sum(map(bare.count, _OPENERS)) > MAX_VALUES:
        raise BodyTooComplex(f"The body has more than {MAX_VALUES} values.")
    if bare.count(b"{") > MAX_OBJECTS:
        raise BodyTooComplex(f"The body has more than {MAX_OBJECTS} objects.")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise InvalidJson("The body is empty. Send a JSON object.") from None
        raise InvalidJson(
            f"The body is not JSON: it goes wrong at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise BodyTooComplex("The body is nested too deep.") from None
    except ValueError:  # int() refuses thousands of digits; JSONDecodeError is a ValueError too, so it comes first
        raise InvalidJson("The body has a number with too many digits.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InvalidJson("An object in the body has the same key twice. Send each key once.")
    return made


def _no_constant(_: str) -> Never:
    raise InvalidJson("The body has NaN or Infinity, which are not JSON. Leave the field out instead.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InvalidJson("The body has a number that is too large. Send a smaller one.")
    return number


def _verify_depth(tree: Any, max_depth: int) -> None:
    level = [tree]
    for _ in range(max_depth + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise BodyTooComplex(f"The body is nested deeper than {max_depth} levels.")


def _children(node: Any) -> Any:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _verify_text(tree: Any) -> None:
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            _verify_scalars(node)
        elif isinstance(node, dict):
            for key in node:
                _verify_scalars(key)
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _verify_scalars(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidJson(
            "The body has half of a surrogate pair (\\ud800 to \\udfff), which is no character. Send whole characters."
        ) from None
