"""The keywords of a JSON schema that say something of one value: bounds, lengths, formats, `enum` and `const`.

Each function reads its keywords from a schema object and gives them anew. Contradictions are refused: no answer could
meet them, and an engine that is asked for one goes on without any schema. For `json_schema`; pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from tenzij.engines.faults import UnfollowableSchema
from tenzij.engines.regex_subset import pattern_anew

MAX_ENUM: Final = 500
MAX_COUNT: Final = 1000  # of items and characters where counted
MAX_WHOLE: Final = 2**53 - 1

TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")
FORMATS: Final = ("date", "time", "date-time", "uuid", "ipv4", "email")
BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def enum_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """`enum`, its values of the `type` beside it."""
    values = items_of(given["enum"], "enum", MAX_ENUM)
    _verify_scalars(values, given)
    return {"enum": values}


def const_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """`const`, of the `type` beside it."""
    _verify_scalars([given["const"]], given)
    return {"const": given["const"]}


def _verify_scalars(values: list[Any], given: Mapping[str, Any]) -> None:
    types = types_of(given["type"]) if "type" in given else list(TYPES)
    for value in values:
        if not any(_is_of(value, each) for each in types):
            raise UnfollowableSchema("enum and const hold texts, numbers, true, false or null, of the type beside them")


def _is_of(value: object, type_: str) -> bool:
    match type_:
        case "string":
            return isinstance(value, str)
        case "integer" | "number":
            return _is_number(value, whole=type_ == "integer")
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
    return False


def _is_number(value: object, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= MAX_WHOLE and (not whole or isinstance(value, int))  # not a number compares false


def types_of(given: object) -> list[str]:
    """The types that `type` names, each once."""
    types = given if isinstance(given, list) else [given]
    if not types or not all(isinstance(each, str) and each in TYPES for each in types):
        raise UnfollowableSchema("type must be one of, or a list of, " + ", ".join(TYPES))
    return list(dict.fromkeys(types))


def string_of(given: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """What a text is held to: its length, or a pattern, or a format; and what the pattern costs."""
    cost = 0
    written = counts_of(given, "minLength", "maxLength")
    if sum((bool(written), "pattern" in given, "format" in given)) > 1:
        raise UnfollowableSchema("a text may have bounds of length, a pattern or a format: one of these")
    if "pattern" in given:
        if not isinstance(given["pattern"], str):
            raise UnfollowableSchema("pattern must be text")
        written["pattern"], cost = pattern_anew(given["pattern"])
    if "format" in given:
        if not isinstance(given["format"], str) or given["format"] not in FORMATS:
            raise UnfollowableSchema("format must be one of " + ", ".join(FORMATS))
        written["format"] = given["format"]
    return written, cost


def counts_of(given: Mapping[str, Any], least: str, most: str) -> dict[str, Any]:
    """Two bounds of a count, by the names of their keywords."""
    written = {word: given[word] for word in (least, most) if word in given}
    for count in written.values():
        if not _is_number(count, whole=True) or not 0 <= count <= MAX_COUNT:
            raise UnfollowableSchema(f"{least} and {most} must be whole numbers from 0 to {MAX_COUNT}")
    if written.get(least, 0) > written.get(most, MAX_COUNT):
        raise UnfollowableSchema(f"{least} is larger than {most}")
    return written


def bounds_of(given: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    """The bounds of a number, of an integer if `whole`."""
    written = {word: given[word] for word in BOUNDS if word in given}
    if not all(_is_number(bound, whole=whole) for bound in written.values()):
        raise UnfollowableSchema("bounds of a number must be numbers, those of an integer whole ones, below 2^53")
    for plain, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if plain in written and exclusive in written:
            raise UnfollowableSchema(f"{plain} stands beside {exclusive}")
    step = 1 if whole else 0
    low = written.get("minimum", written.get("exclusiveMinimum", -math.inf) + step)
    high = written.get("maximum", written.get("exclusiveMaximum", math.inf) - step)
    is_open = "exclusiveMinimum" in written or "exclusiveMaximum" in written
    if low > high or (low == high and is_open and not whole):
        raise UnfollowableSchema("no number lies between the bounds")
    return written


def items_of(value: object, word: str, most: int = MAX_ENUM) -> list[Any]:
    """The list that the keyword `word` holds, not empty."""
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise UnfollowableSchema(f"{word} must be a list of 1 to {most}")
    return value
