"""A JSON schema -> the same schema, written anew from what the engine's grammar follows exactly; all else is refused.

llama.cpp holds an answer to a schema by a grammar. Its own converter drops what it does not know (a pattern, a bound)
with a warning, and a `minLength` above the `maxLength` made it eat all memory. Its other one, LLGuidance, is exact, but
where it cannot build a grammar llama.cpp goes on without any. A caller would get an answer that breaks the schema and
not know it, so nothing doubtful may reach either: here is the allow-list, and LLGuidance gets the result.

- Followed: the seven types and lists of them; `properties`, `required`, `additionalProperties`; `items`, `minItems`,
  `maxItems`; `minLength`, `maxLength`, `pattern` (see `regex_subset`), six values of `format`; bounds of numbers;
  `enum`, `const`; `anyOf`; `$ref` into `$defs` or `definitions`, recursive where something stands in between.
- Annotations (`title`, `description`, …) are dropped: they steer nothing.
- Contradictions that can be seen are refused, since no answer could meet them.
- Bounded in size, depth and repetitions: a grammar costs memory and time of an engine that others share.

Follows JSON Schema 2020-12. Pure. Raises UnfollowableSchema, which names our own words only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tenzij.engines.faults import UnfollowableSchema
from tenzij.engines.json_schema_values import (
    BOUNDS,
    TYPES,
    bounds_of,
    const_of,
    counts_of,
    enum_of,
    items_of,
    string_of,
    types_of,
)

MAX_SCHEMAS: Final = 500  # in one schema, counting those inside
MAX_DEPTH: Final = 24
MAX_ALTERNATIVES: Final = 50  # more, of long texts, and LLGuidance gives up
MAX_PATTERNS_COST: Final = 1000  # of all patterns in one schema, see `regex_subset`
ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema"}
)
_DEFINITIONS: Final = ("$defs", "definitions")
_OF_TYPE: Final[Mapping[str, tuple[str, ...]]] = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": BOUNDS,
    "integer": BOUNDS,
    "boolean": (),
    "null": (),
}
_KEYWORDS: Final = frozenset(word for words in _OF_TYPE.values() for word in words) | {
    *("type", "enum", "const", "anyOf", "allOf", "$ref"),
    *_DEFINITIONS,
}


def schema_anew(schema: object) -> dict[str, Any]:
    """The schema that the engine gets. Raises UnfollowableSchema."""
    return _Writer().whole(schema)


class _Writer:
    """One schema on its way. `_definitions` are the names that `$ref` may point to."""

    def __init__(self) -> None:
        self._definitions: dict[str, Mapping[str, Any]] = {}
        self._count = 0
        self._patterns_cost = 0

    def whole(self, schema: object) -> dict[str, Any]:
        top = _table(schema, "a schema must be an object")
        for word in _DEFINITIONS:
            for name, definition in _table(top.get(word, {}), f"{word} must be an object").items():
                self._definitions[f"#/{word}/{_escaped(name)}"] = _table(definition, "a schema must be an object")
        self._verify_references_end()
        written = self._schema({word: value for word, value in top.items() if word not in _DEFINITIONS}, 0)
        for word in _DEFINITIONS:
            if word in top:
                written[word] = {name: self._schema(definition, 1) for name, definition in top[word].items()}
        return written

    def _schema(self, schema: object, depth: int) -> dict[str, Any]:
        given = _table(schema, "true and false stand for a schema only in additionalProperties")
        self._count += 1
        if self._count > MAX_SCHEMAS:
            raise UnfollowableSchema(f"it has more than {MAX_SCHEMAS} parts")
        if depth > MAX_DEPTH:
            raise UnfollowableSchema(f"it is nested deeper than {MAX_DEPTH}")
        words = given.keys() - ANNOTATIONS
        if not words <= _KEYWORDS or words & set(_DEFINITIONS):
            raise UnfollowableSchema(
                "it has a keyword that is not supported here; supported are " + ", ".join(sorted(_KEYWORDS))
            )
        for alone, write in self._alone():
            if alone in words:
                if words - {alone, "type"} or ("type" in words and alone not in ("enum", "const")):
                    raise UnfollowableSchema(f"{alone} stands beside a keyword that it cannot be combined with")
                return write(given, depth)
        return self._typed(given, words, depth)

    def _alone(self) -> tuple[tuple[str, Callable[[Mapping[str, Any], int], dict[str, Any]]], ...]:
        return (
            ("$ref", self._reference),
            ("anyOf", self._any_of),
            ("allOf", self._all_of),
            ("enum", lambda given, _: enum_of(given)),
            ("const", lambda given, _: const_of(given)),
        )

    def _reference(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        if not isinstance(given["$ref"], str) or given["$ref"] not in self._definitions:
            raise UnfollowableSchema("$ref points to something other than a name in $defs or definitions")
        return {"$ref": given["$ref"]}

    def _any_of(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        return {
            "anyOf": [self._schema(each, depth + 1) for each in items_of(given["anyOf"], "anyOf", MAX_ALTERNATIVES)]
        }

    def _all_of(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        parts = items_of(given["allOf"], "allOf")
        if len(parts) > 1:
            raise UnfollowableSchema("allOf may hold one schema only")
        return self._schema(parts[0], depth + 1)

    def _typed(self, given: Mapping[str, Any], words: set[str], depth: int) -> dict[str, Any]:
        types = types_of(given.get("type", list(TYPES) if not words else None))
        fitting = {word for each in types for word in _OF_TYPE[each]} | {"type"}
        if not words <= fitting:
            raise UnfollowableSchema("a keyword stands in a schema whose type it does not go with")
        written: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
        if "object" in types:
            written |= self._object(given, depth)
        if "array" in types:
            written |= self._array(given, depth)
        if "string" in types:
            text, cost = string_of(given)
            written |= text
            self._patterns_cost += cost
            if self._patterns_cost > MAX_PATTERNS_COST:
                raise UnfollowableSchema("its patterns are too long together, repetitions written out")
        if "number" in types or "integer" in types:
            written |= bounds_of(given, whole="number" not in types)
        return written

    def _object(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        written: dict[str, Any] = {}
        properties = _table(given.get("properties", {}), "properties must be an object")
        if "properties" in given:
            written["properties"] = {name: self._schema(each, depth + 1) for name, each in properties.items()}
        if "required" in given:
            required = given["required"]
            if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
                raise UnfollowableSchema("required must be a list of names")
            if not set(required) <= properties.keys():
                raise UnfollowableSchema("required names something that properties does not have")
            written["required"] = list(dict.fromkeys(required))
        if "additionalProperties" in given:
            more = given["additionalProperties"]
            written["additionalProperties"] = more if isinstance(more, bool) else self._schema(more, depth + 1)
        return written

    def _array(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        written = counts_of(given, "minItems", "maxItems")
        if "items" in given:
            written["items"] = self._schema(given["items"], depth + 1)
        return written

    def _verify_references_end(self) -> None:
        """A definition that is itself, by way of `$ref`, `anyOf` and `allOf` alone, describes nothing."""
        for start in self._definitions:
            seen: set[str] = set()
            pending = [start]
            while pending:
                for target in _direct_references(self._definitions.get(pending.pop(), {})):
                    if target == start:
                        raise UnfollowableSchema("a definition refers to itself with nothing in between")
                    if target not in seen:
                        seen.add(target)
                        pending.append(target)


def _direct_references(schema: Mapping[str, Any]) -> list[str]:
    """What `schema` is another name for, or may be."""
    found, pending = [], [schema]
    while pending:
        each = pending.pop()
        if isinstance(each.get("$ref"), str):
            found.append(each["$ref"])
        for word in ("anyOf", "allOf"):
            parts = each.get(word)
            if isinstance(parts, list):
                pending.extend(part for part in parts if isinstance(part, Mapping))
    return found


def _table(value: object, rule: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UnfollowableSchema(rule)
    return value


def _escaped(name: str) -> str:
    """A name as a JSON pointer has it (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")
