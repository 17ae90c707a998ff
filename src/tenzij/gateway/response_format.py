"""`response_format` -> the shape that an answer is held to, rebuilt from checked parts.

- "text" is no shape. "json_object" and "json_schema" need a model that can be held to them.
- A schema is the one free tree that reaches an engine, which compiles it to a grammar. So: references stay inside the
  schema, its size is bounded, and what multiplies a grammar (repetitions, long patterns) is bounded.
- Names and descriptions are dropped: they steer nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tenzij.gateway.fields import Fields
from tenzij.gateway.refusals import UnsupportedSchema

MAX_SCHEMA_BYTES = 64 * 1024
MAX_REPETITION = 1000
MAX_PATTERN_CHARS = 512

_TYPES = ("text", "json_object", "json_schema")
_REPETITIONS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_BRACES = re.compile(r"\{[0-9,]+")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def response_format_from(fields: Fields) -> dict[str, Any] | None:
    """OpenAI's object, anew; None for plain text."""
    if not fields.has("response_format"):
        return None
    path = "response_format."
    given = Fields(fields.value("response_format"), path, known={"type", "json_schema"}, unsupported={"schema"})
    given.required("type")
    kind = given.choice("type", _TYPES)
    if kind != "json_schema" and given.has("json_schema"):
        raise given.fault("json_schema", 'goes only with type "json_schema"')
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": _json_schema_from(given)}


def _json_schema_from(given: Fields) -> dict[str, Any]:
    path = "response_format.json_schema."
    inner = Fields(
        given.required("json_schema"), path, known={"name", "description", "schema", "strict"}, unsupported=()
    )
    name = inner.required("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise inner.fault("name", "must be 1 to 64 letters, digits, _ or -")
    inner.text("description", 0, 10_000)
    inner.flag("strict")
    schema = inner.required("schema")
    if not isinstance(schema, dict):
        raise inner.fault("schema", "must be an object")
    _verify_schema(schema, path + "schema")
    return {"name": "answer", "schema": schema, "strict": True}


def _verify_schema(schema: dict[str, Any], param: str) -> None:
    if len(json.dumps(schema, ensure_ascii=False).encode()) > MAX_SCHEMA_BYTES:
        raise UnsupportedSchema(f"{param} may be at most {MAX_SCHEMA_BYTES} bytes.", param=param)
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            pending.extend(node.values())
            for name, value in node.items():
                rule = _broken_rule(name, value)
                if rule:
                    raise UnsupportedSchema(f"{param}: {rule}.", param=param)


def _broken_rule(name: str, value: Any) -> str | None:
    """What is wrong with this keyword. A property that has a keyword's name holds a schema, and so is not mistaken."""
    if name in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
        return f"{name} may only point inside the schema, starting with #"
    if name in _REPETITIONS and isinstance(value, int | float) and value > MAX_REPETITION:
        return f"{name} may be at most {MAX_REPETITION}"
    if name == "pattern" and isinstance(value, str):
        if len(value) > MAX_PATTERN_CHARS:
            return f"pattern may be at most {MAX_PATTERN_CHARS} characters"
        if any(_too_many(match) for match in _BRACES.finditer(value)):
            return f"a repetition in pattern may be at most {MAX_REPETITION}"
    return None


def _too_many(match: re.Match[str]) -> bool:
    numbers = re.findall(r"[0-9]+", match.group())
    return any(len(number) > 4 or int(number) > MAX_REPETITION for number in numbers)
