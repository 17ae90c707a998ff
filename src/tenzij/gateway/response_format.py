"""`response_format` -> the shape that an answer is held to, rebuilt from checked parts.

- "text" is no shape. "json_object" and "json_schema" need a model that can be held to them.
- A schema is the one free tree that reaches an engine. It is bounded in size and written anew here, so that what cannot
  be followed is refused before anything is decided; `engines.json_schema` says what can.
- Names and descriptions are dropped: they steer nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tenzij.engines.faults import UnfollowableSchema
from tenzij.engines.json_schema import schema_anew
from tenzij.gateway.fields import Fields

MAX_SCHEMA_BYTES = 64 * 1024

_TYPES = ("text", "json_object", "json_schema")
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
    if len(json.dumps(schema, ensure_ascii=False).encode()) > MAX_SCHEMA_BYTES:
        raise UnfollowableSchema(f"it is larger than {MAX_SCHEMA_BYTES} bytes")
    return {"name": "answer", "schema": schema_anew(schema), "strict": True}
