r"""Canonical JSON: one value, one sequence of bytes, so that a hash of the bytes is a hash of the value.

Rules (RFC 8785, narrowed)
- Keys are ASCII, sorted by their bytes (for ASCII the same as RFC 8785's UTF-16 order), each once.
- Numbers are whole, from -(2^53-1) to 2^53-1: exact in every reader. There are no floats.
- Strings are any Unicode but lone surrogates, not normalised; only `"`, `\` and control characters are escaped.
- No white space; UTF-8 without a byte order mark.
- Bytes count as canonical only if encoding what they say gives the same bytes again.
"""

from __future__ import annotations

from typing import Any

import msgspec

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 64

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()

ENCODER = _encoder
"""For structs whose fields hold only what the rules allow; plain values go through `canonical_bytes`."""


class NotCanonical(ValueError):
    """A value that has no canonical form here, or bytes that are not one. The message never quotes them."""


def canonical_bytes(value: object) -> bytes:
    """The canonical form of a tree of dict, list, tuple, str, int, bool and None. Raises NotCanonical."""
    _check(value, 0)
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        raise NotCanonical("a string holds a lone surrogate") from None


def value_from_canonical(data: bytes) -> Any:
    """The tree that `data` states. Raises NotCanonical unless `data` is exactly its canonical form."""
    try:
        value = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotCanonical("not JSON in UTF-8") from None
    if canonical_bytes(value) != data:
        raise NotCanonical("JSON, but not in canonical form")
    return value


def _check(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise NotCanonical(f"nested deeper than {MAX_DEPTH}")
    kind = type(value)
    if value is None or kind in (str, bool):
        return
    if kind is int:
        if abs(value) > MAX_INTEGER:  # type: ignore[arg-type]  # an int, as `kind` says
            raise NotCanonical("an integer beyond 2^53-1")
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                raise NotCanonical("a key that is not ASCII text")
            _check(item, depth + 1)
    else:
        raise NotCanonical(f"a value of type {kind.__name__}")
