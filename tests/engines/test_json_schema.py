"""The allow-list of JSON schemas: what is followed is written anew, what is not is refused without being quoted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from tenzij.engines.faults import UnfollowableSchema
from tenzij.engines.json_schema import MAX_DEPTH, MAX_SCHEMAS, schema_anew

CANARY = "kanarie-3f9a"
INTEGER = {"type": "integer"}

SAME = [
    {"type": "object"},
    {"type": "object", "properties": {"a": INTEGER}, "required": ["a"], "additionalProperties": False},
    {"type": "object", "properties": {"a": INTEGER}, "additionalProperties": True},
    {"type": "object", "additionalProperties": {"type": "boolean"}},
    {"type": "array"},
    {"type": "array", "items": INTEGER, "minItems": 0, "maxItems": 0},
    {"type": "array", "minItems": 3, "maxItems": 1000},
    {"type": "string", "minLength": 2, "maxLength": 2},
    {"type": "string", "pattern": "^[1-9][0-9]{3} ?[A-Z]{2}$"},
    {"type": "string", "format": "date-time"},
    {"type": "integer", "minimum": 5, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6},
    {"type": "number", "minimum": -0.5, "exclusiveMaximum": 0.5},
    {"type": ["string", "null"], "maxLength": 5},
    {"type": ["integer", "number"], "minimum": 1.5},
    {"type": "boolean"},
    {"type": "null"},
    {"enum": ["a", 1, 1.5, True, None]},
    {"const": ""},
    {"anyOf": [INTEGER, {"type": "null"}]},
    {"$ref": "#/$defs/a", "$defs": {"a": INTEGER}},
    {"$ref": "#/definitions/a~1b~0c", "definitions": {"a/b~c": INTEGER}},
    {
        "$ref": "#/$defs/tree",
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {"left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}},
                "required": ["left"],
            }
        },
    },
]


@pytest.mark.parametrize("schema", SAME, ids=json.dumps)
def test_followed_schemas_stay_as_they_are(schema: dict[str, Any]) -> None:
    assert schema_anew(schema) == schema


REWRITTEN = [
    ({"type": "integer", "title": "t", "description": CANARY, "default": 1, "examples": [1], "$comment": "c"}, INTEGER),
    ({"type": "string", "enum": ["a", "b"]}, {"enum": ["a", "b"]}),
    ({"type": "string", "const": "a"}, {"const": "a"}),
    ({"allOf": [INTEGER]}, INTEGER),
    ({"type": ["null"]}, {"type": "null"}),
    (
        {"type": "object", "properties": {"a": INTEGER}, "required": ["a", "a"]},
        {"type": "object", "properties": {"a": INTEGER}, "required": ["a"]},
    ),
    ({"type": "string", "pattern": r"^\d{4}-\d$"}, {"type": "string", "pattern": "^[0-9]{4}-[0-9]$"}),
    ({}, {"type": ["object", "array", "string", "number", "integer", "boolean", "null"]}),
    ({"description": "anything"}, {"type": ["object", "array", "string", "number", "integer", "boolean", "null"]}),
]


@pytest.mark.parametrize(("schema", "anew"), REWRITTEN, ids=lambda each: json.dumps(each)[:50])
def test_some_are_rewritten(schema: dict[str, Any], anew: dict[str, Any]) -> None:
    assert schema_anew(schema) == anew


LEFT_RECURSIVE = {"$ref": "#/$defs/a"}
REFUSED: list[Any] = [
    None, True, [], "x", 1,
    {"type": CANARY}, {"type": []}, {"type": None}, {"type": ["string", CANARY]}, {"type": [[]]},
    {CANARY: 1}, {"type": "string", "nullable": True}, {"type": "string", "contentEncoding": "base64"},
    {"not": INTEGER}, {"if": INTEGER}, {"oneOf": [INTEGER]}, {"allOf": [INTEGER, INTEGER]},
    {"allOf": []}, {"anyOf": []}, {"anyOf": INTEGER}, {"anyOf": [True]}, {"anyOf": [INTEGER] * 51},
    {"enum": []}, {"enum": "a"},
    {"type": "integer", "multipleOf": 3},
    {"type": "array", "uniqueItems": True}, {"type": "array", "prefixItems": [INTEGER]},
    {"type": "array", "items": True},
    {"type": "array", "items": [INTEGER]}, {"type": "array", "contains": INTEGER},
    {"type": "array", "minItems": 5, "maxItems": 3}, {"type": "array", "maxItems": 1001},
    {"type": "array", "minItems": -1},
    {"type": "array", "minItems": True}, {"type": "array", "minItems": 1.0}, {"type": "array", "minItems": "1"},
    {"type": "object", "patternProperties": {}}, {"type": "object", "minProperties": 1},
    {"type": "object", "properties": [INTEGER]}, {"type": "object", "properties": {"a": True}},
    {"type": "object", "required": ["a"]}, {"type": "object", "properties": {"a": INTEGER}, "required": "a"},
    {"type": "object", "properties": {"a": INTEGER}, "required": [["a"]]},
    {"type": "object", "additionalProperties": None}, {"type": "object", "unevaluatedProperties": False},
    {"type": "string", "minLength": 5, "maxLength": 3}, {"type": "string", "maxLength": 99_999_999},
    {"type": "string", "pattern": "^a$", "minLength": 1}, {"type": "string", "pattern": "^a$", "format": "date"},
    {"type": "string", "pattern": 1}, {"type": "string", "pattern": "a"}, {"type": "string", "pattern": "^(?=a)b$"},
    {"type": "string", "format": CANARY}, {"type": "string", "format": ["date"]}, {"type": "string", "minimum": 1},
    {"minLength": 2}, {"properties": {}},
    {"type": "integer", "minimum": 10, "maximum": 5}, {"type": "integer", "minimum": 1.5},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4}, {"type": "integer", "minimum": 10**30},
    {"type": "integer", "minimum": 10**400}, {"type": "number", "minimum": float("nan")},
    {"type": "number", "maximum": float("inf")}, {"type": "number", "exclusiveMinimum": 1, "maximum": 1},
    {"type": "integer", "minimum": 1, "exclusiveMinimum": 1}, {"type": "number", "minimum": True},
    {"type": "string", "enum": ["a", 1]}, {"type": "integer", "const": "x"}, {"enum": [[1]]}, {"const": {}},
    {"type": "integer", "enum": [True]}, {"const": float("nan")}, {"enum": ["a"], "minLength": 1},
    {"type": "integer", "anyOf": [INTEGER]}, {"anyOf": [INTEGER], "enum": [1]},
    {"$ref": "#"}, {"$ref": "#/$defs/a"}, {"$ref": "https://example.org/a"}, {"$ref": 1}, {"$ref": ["#/$defs/a"]},
    {"$ref": "#/$defs/a", "$defs": {"a": INTEGER}, "minimum": 1},
    {"$ref": "#/$defs/a", "$defs": {"a": True}}, {"$defs": [INTEGER], "type": "null"},
    {"type": "array", "items": {"$defs": {"a": INTEGER}, "$ref": "#/$defs/a"}},
    {"type": "null", "$defs": {"a": {"not": INTEGER}}},
    {**LEFT_RECURSIVE, "$defs": {"a": LEFT_RECURSIVE}},
    {**LEFT_RECURSIVE, "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [INTEGER, LEFT_RECURSIVE]}}},
    {**LEFT_RECURSIVE, "$defs": {"a": {"allOf": [{"anyOf": [LEFT_RECURSIVE]}]}}},
    {"x-guidance": {"lenient": True}, "type": "string"},
    {"$id": "https://example.org", "type": "string"}, {"$anchor": "a", "type": "string"},
]  # fmt: skip


@pytest.mark.parametrize("schema", REFUSED, ids=lambda each: repr(each)[:70])
def test_all_else_is_refused_and_not_quoted(schema: Any) -> None:
    with pytest.raises(UnfollowableSchema) as caught:
        schema_anew(schema)
    assert (caught.value.status, caught.value.code, caught.value.param) == (
        400,
        "invalid_json_schema",
        "response_format",
    )
    assert CANARY not in caught.value.message
    assert "example.org" not in caught.value.message


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def test_bounds_of_depth_and_size() -> None:
    assert schema_anew(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    for depth in (MAX_DEPTH + 1, 900):
        with pytest.raises(UnfollowableSchema, match="nested deeper"):
            schema_anew(nested(depth))
    many = {"type": "object", "properties": {str(number): INTEGER for number in range(MAX_SCHEMAS)}}
    with pytest.raises(UnfollowableSchema, match="more than"):
        schema_anew(many)


def test_patterns_are_bounded_together() -> None:
    costly = {"type": "string", "pattern": "^[a-z]{300}$"}
    schema_anew({"anyOf": [costly] * 3})
    with pytest.raises(UnfollowableSchema, match="patterns are too long together"):
        schema_anew({"anyOf": [costly] * 4})


class Adres(BaseModel):
    model_config = ConfigDict(extra="forbid")
    postcode: str = Field(pattern=r"^[1-9]\d{3} ?[A-Z]{2}$")
    huisnummer: int = Field(ge=1, lt=100_000)
    soort: list[Adres] | None = Field(default=None, description="eerdere adressen", max_length=3)


class Persoon(BaseModel):
    model_config = ConfigDict(extra="forbid")
    naam: str = Field(min_length=1, max_length=80)
    adres: Adres
    score: float = Field(ge=0, le=1)


def test_what_pydantic_writes_is_followed() -> None:
    assert schema_anew(Persoon.model_json_schema())["required"] == ["naam", "adres", "score"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda each: (
            st.lists(each, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "properties", "required", "items", "enum", "anyOf", "$ref", "$defs", "minLength", "a"]
                ),
                each | st.sampled_from(["object", "string", "#/$defs/a"]),
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_any_tree_is_followed_or_refused_and_what_is_written_is_followed_again(tree: Any) -> None:
    try:
        written = schema_anew(tree)
    except UnfollowableSchema:
        return
    assert schema_anew(written) == written
