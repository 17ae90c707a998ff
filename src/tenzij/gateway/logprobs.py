"""Log probabilities of tokens: from an engine's pieces to the two shapes of OpenAI's API, rebuilt field by field.

An engine's object never goes on as it is: what is not a token, a number or bytes is left out, and minus infinity, which
is not JSON, becomes OpenAI's -9999.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

LEAST = -9999.0


def chat_shape(pieces: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """`choices[].logprobs` of a chat completion."""
    return {"content": [_entry(entry) for entry in _entries(pieces)], "refusal": None}


def completion_shape(pieces: Iterable[Mapping[str, Any]], offset: int) -> dict[str, Any]:
    """`choices[].logprobs` of a text completion; `offset` is where the first token starts in the whole answer."""
    shape: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for entry in _entries(pieces):
        token = _token(entry)
        shape["tokens"].append(token)
        shape["token_logprobs"].append(_logprob(entry))
        shape["top_logprobs"].append({_token(other): _logprob(other) for other in _alternatives(entry)})
        shape["text_offset"].append(offset)
        offset += len(token)
    return shape


def _entries(pieces: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    for piece in pieces:
        yield from _mappings(piece.get("content"))


def _alternatives(entry: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return _mappings(entry.get("top_logprobs"))


def _mappings(items: Any) -> list[Mapping[str, Any]]:
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list | tuple) else []


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    return _one(entry) | {"top_logprobs": [_one(other) for other in _alternatives(entry)]}


def _one(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": _token(entry), "logprob": _logprob(entry), "bytes": _bytes(entry)}


def _token(entry: Mapping[str, Any]) -> str:
    token = entry.get("token")
    return token if isinstance(token, str) else ""


def _logprob(entry: Mapping[str, Any]) -> float:
    value = entry.get("logprob")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else LEAST


def _bytes(entry: Mapping[str, Any]) -> list[int] | None:
    value = entry.get("bytes")
    if isinstance(value, list | tuple) and all(type(byte) is int and 0 <= byte <= 255 for byte in value):
        return list(value)
    return None
