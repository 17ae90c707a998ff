"""What the allow-list of schemas promises, asked of the real engine: a whole answer meets its schema."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.asking import chat, connected, events_of, finish_of, schema_format, text_of
from tenzij.engines.llamacpp import LlamaCpp
from tenzij.testing.worker_process import WorkerProcess

FORMATS = {
    "date": r"\d{4}-\d\d-\d\d",
    "time": r"\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "date-time": r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)",
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "ipv4": r"\d{1,3}(\.\d{1,3}){3}",
    "email": r"\S+@\S+|\S+",
}
PATTERNS = [
    "^a{2,3}$",
    "^(foo|bar)$",
    "^[a-c]+x$",
    "^[0-9]{4} ?[A-Z]{2}$",
    "^é.$",
    r"^\.\/\-$",
    "^[^a-z]{3}$",
    "^[&~\\-]$",
]


def is_met(value: Any, schema: dict[str, Any]) -> bool:
    """Whether `value` meets `schema`, for what the allow-list has; another reading than the source's, on purpose."""
    if "anyOf" in schema:
        return any(is_met(value, each) for each in schema["anyOf"])
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return any(_is_met(value, each, schema) for each in types)


def _is_met(value: Any, kind: str, schema: dict[str, Any]) -> bool:
    if kind == "object":
        known = schema.get("properties", {})
        more = schema.get("additionalProperties", True)
        return (
            isinstance(value, dict)
            and all(name in value for name in schema.get("required", []))
            and all(is_met(each, known[name]) if name in known else more for name, each in value.items())
        )
    if kind == "array":
        return (
            isinstance(value, list)
            and schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
            and all(is_met(each, schema["items"]) for each in value if "items" in schema)
        )
    if kind == "string":
        return (
            isinstance(value, str)
            and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
            and bool(re.fullmatch(schema.get("pattern", ".*").strip("^$"), value, re.DOTALL))
            and bool(re.fullmatch(FORMATS.get(schema.get("format", ""), ".*"), value, re.DOTALL))
        )
    if kind in ("integer", "number"):
        return (
            isinstance(value, int if kind == "integer" else int | float)
            and not isinstance(value, bool)
            and schema.get("minimum", -(10**400)) <= value <= schema.get("maximum", 10**400)
            and schema.get("exclusiveMinimum", -(10**400)) < value < schema.get("exclusiveMaximum", 10**400)
        )
    return value is None if kind == "null" else isinstance(value, bool)


def bounds(least: str, most: str, low: int, high: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(st.integers(low, high), st.integers(0, 3)).map(
        lambda pair: {least: pair[0], most: pair[0] + pair[1]}
    )


scalars = st.one_of(
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": 'a"b\\/é\n'}, {"enum": [1, "x", None, 1.5]}]),
    bounds("minimum", "maximum", -1000, 1000).map(lambda each: {"type": "integer", **each}),
    bounds("exclusiveMinimum", "maximum", -9, 9).map(lambda each: {"type": "integer", **each, "maximum": 13}),
    bounds("minimum", "maximum", -9, 9).map(lambda each: {"type": "number", **each}),
    bounds("minLength", "maxLength", 0, 4).map(lambda each: {"type": "string", **each}),
    st.sampled_from(sorted(FORMATS)).map(lambda name: {"type": "string", "format": name}),
    st.sampled_from(
        [
            "^a{2,3}$",
            "^(foo|bar)$",
            "^[a-c]+x$",
            "^[0-9]{4} ?[A-Z]{2}$",
            "^é.$",
            r"^\.\/\-$",
            "^[^a-z]{3}$",
            "^[&~\\-^]$",
        ]
    ).map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.just({"type": ["string", "null"], "maxLength": 2}),
)
names = st.sampled_from(["a", "b c", 'd"\\', "é", "", "/~", "#", "// x"])


def inside(each: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.dictionaries(names, each, max_size=3).map(
            lambda found: {
                "type": "object",
                "properties": found,
                "required": sorted(found)[:2],
                "additionalProperties": False,
            }
        ),
        st.tuples(each, bounds("minItems", "maxItems", 0, 2)).map(
            lambda pair: {"type": "array", "items": pair[0], **pair[1]}
        ),
        st.lists(each, min_size=1, max_size=2).map(lambda found: {"anyOf": found}),
    )


schemas = st.recursive(scalars, inside, max_leaves=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schema=schemas)
async def test_whole_answers_meet_their_schema(llamacpp_worker: WorkerProcess, schema: dict[str, Any]) -> None:
    generation = chat("x", max_tokens=60, temperature=1.5, seed=1, response_format=schema_format(schema))
    async with connected(llamacpp_worker) as engine:
        events = await events_of(engine, generation)
    if finish_of(events).reason == "stop":
        assert is_met(json.loads(text_of(events)), schema)


HELD: list[dict[str, Any]] = [
    {"type": "string", "format": "uuid"},
    {"type": "string", "pattern": "^[1-9][0-9]{3} ?[A-Z]{2}$"},
    {"type": "integer", "minimum": 1000, "maximum": 1001},
    {"type": "number", "minimum": 3, "maximum": 4},
    {"type": "array", "items": {"const": 1}, "minItems": 5, "maxItems": 5},
    {"enum": ["groen", "oranje", "rood"]},
    {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False},
]


@pytest.mark.parametrize("schema", HELD, ids=json.dumps)
async def test_answers_end_and_meet_their_schema(engine: LlamaCpp, schema: dict[str, Any]) -> None:
    """Asked for prose, so that nothing but the grammar makes it JSON."""
    generation = chat("Tell me a story.", max_tokens=100, temperature=0.0, response_format=schema_format(schema))
    events = await events_of(engine, generation)
    if "number" not in json.dumps(schema):  # a number may go on and on
        assert finish_of(events).reason == "stop"
        assert is_met(json.loads(text_of(events)), schema)
    else:
        assert re.match(r"3|4", text_of(events))


async def test_definitions_and_recursion_are_followed(engine: LlamaCpp) -> None:
    node = {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a~1b"}]}
    schema = {
        "$ref": "#/$defs/a~1b",
        "$defs": {
            "a/b": {"type": "object", "properties": {"n": node}, "required": ["n"], "additionalProperties": False}
        },
    }
    events = await events_of(engine, chat("x", max_tokens=60, temperature=0.0, response_format=schema_format(schema)))
    assert re.match(r'(\{"n":)+', text_of(events))


async def test_any_json_object(engine: LlamaCpp) -> None:
    generation = chat("Tell me a story.", max_tokens=40, temperature=0.0, response_format={"type": "json_object"})
    assert text_of(await events_of(engine, generation)).startswith("{")
