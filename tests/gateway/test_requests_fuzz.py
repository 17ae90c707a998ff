"""Any JSON tree is either asked or refused, never anything else, and a refusal holds nothing of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenzij.errors import CallerError
from tenzij.gateway import chat_request, completion_request, embedding_request, sampling
from tenzij.gateway.asked import Asked
from tenzij.gateway.journey import Parse
from tenzij.gateway.question import question_bytes
from tenzij.types import ModelId

CANARY = "kanarieZ4711"  # in every string that is the client's own
PARSERS = {
    chat_request.asked_from_chat: chat_request.KNOWN | chat_request.UNSUPPORTED,
    completion_request.asked_from_completion: completion_request.KNOWN | completion_request.UNSUPPORTED,
    embedding_request.asked_from_embedding: embedding_request.KNOWN | embedding_request.UNSUPPORTED,
}
WORDS = sorted(
    {"role", "content", "type", "text", "user", "assistant", "system", "schema", "json_schema", "name", "image_url"}
    | {"json_object", "include_usage", "none", "$ref", "pattern", "maxItems", "smol", "float", "base64", "tool_calls"}
    | set.union(*(set(known) for known in PARSERS.values()))
)

marked = st.text(max_size=5).map(lambda text: CANARY + text)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
names = st.sampled_from(WORDS) | marked
trees = st.recursive(
    leaves | names, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=25
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "developer"]), "content": marked | trees},
        optional={"name": trees},
    ),
    min_size=1,
    max_size=3,
)
likely = st.fixed_dictionaries(
    {"messages": messages | trees},
    optional={
        "model": marked | trees,
        "max_tokens": st.integers(-1, 10) | trees,
        "temperature": st.floats(-1, 3) | trees,
        "stop": st.lists(marked, max_size=5) | trees,
        "stream": st.booleans() | trees,
        "stream_options": trees,
        "response_format": st.fixed_dictionaries(
            {"type": st.sampled_from(["text", "json_object", "json_schema"]) | trees}, optional={"json_schema": trees}
        ),
        "logprobs": st.booleans() | trees,
        "prompt": trees,
        "input": trees,
    },
)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(tree=trees | likely)
def test_asked_or_refused(parse: Parse, tree: Any) -> None:
    try:
        asked = parse(tree)
    except CallerError as error:
        assert error.status == 400
        assert error.code not in ("invalid_request", "internal_error"), "each refusal has a code of its own"
        assert CANARY not in json.dumps([error.message, error.param, error.code], ensure_ascii=False)
    else:
        assert isinstance(asked, Asked)
        assert question_bytes(asked, ModelId("smol"))


@given(st.dictionaries(st.text(), trees, min_size=1))
def test_no_field_is_ignored(extra: dict[str, Any]) -> None:
    """A field that is not in a list of ours is refused, whatever else is right."""
    unknown = {name: value for name, value in extra.items() if name not in WORDS and value is not None}
    if unknown:
        with pytest.raises(CallerError):
            completion_request.asked_from_completion({"prompt": "a"} | unknown)


def test_the_lists_do_not_overlap() -> None:
    for module in (chat_request, completion_request, embedding_request):
        assert not module.KNOWN & module.UNSUPPORTED
    assert sampling.KNOWN < chat_request.KNOWN
