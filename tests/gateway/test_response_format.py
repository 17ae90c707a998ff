"""The shape that an answer is held to: rebuilt, local, bounded."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.harness import chat
from tenzij.errors import CallerError
from tenzij.gateway.chat_request import asked_from_chat

CANARY = "kanarie-piet-4711"


def shape(response_format: Any) -> Any:
    asked = asked_from_chat(chat(response_format=response_format))
    if asked.generation is None:
        raise AssertionError("no generation")
    return asked.generation.response_format


def with_schema(schema: Any, **changes: Any) -> dict[str, Any]:
    inner = {"name": CANARY, "description": CANARY, "strict": True, "schema": schema} | changes
    return {"type": "json_schema", "json_schema": {name: value for name, value in inner.items() if value is not ...}}


def test_text_is_no_shape() -> None:
    assert shape({"type": "text"}) is None
    assert shape({"type": "json_object"}) == {"type": "json_object"}


def test_only_the_schema_of_a_schema_goes_on() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "maxLength": 20}, "b": {"$ref": "#/$defs/b"}},
        "$defs": {"b": {"type": "array", "items": {"type": "number"}, "maxItems": 10}},
        "required": ["b"],
        "additionalProperties": False,
    }
    assert shape(with_schema(schema | {"title": CANARY})) == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (CANARY, "invalid_value"),
        ({}, "missing_required_parameter"),
        ({"type": CANARY}, "invalid_value"),
        ({"type": "grammar"}, "invalid_value"),
        ({"type": "json_object", "schema": {CANARY: 1}}, "unsupported_parameter"),
        ({"type": "json_object", "json_schema": {"name": "a"}}, "invalid_value"),
        ({"type": "json_schema"}, "missing_required_parameter"),
        (with_schema({}, name=...), "missing_required_parameter"),
        (with_schema({}, name=f"{CANARY} {CANARY}"), "invalid_value"),
        (with_schema({}, strict="yes"), "invalid_value"),
        (with_schema(...), "missing_required_parameter"),
        (with_schema([CANARY]), "invalid_value"),
        (with_schema({}, **{CANARY: 1}), "unknown_parameter"),
        (with_schema({"$ref": f"https://{CANARY}/schema.json"}), "invalid_json_schema"),
        (with_schema({"anyOf": [{"type": "array", "items": {"$ref": f"file:///{CANARY}"}}]}), "invalid_json_schema"),
        (with_schema({"type": "object", CANARY: CANARY}), "invalid_json_schema"),
        (with_schema({"type": "object", "properties": {CANARY: CANARY}}), "invalid_json_schema"),
        (with_schema({"enum": [CANARY * 4000]}), "invalid_json_schema"),
    ],
)
def test_refusals(given: Any, code: str) -> None:
    with pytest.raises(CallerError) as refused:
        shape(given)
    assert refused.value.code == code
    assert CANARY not in refused.value.message + str(refused.value.param)
