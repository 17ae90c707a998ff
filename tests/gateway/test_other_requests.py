"""Text completions and embeddings: what is taken and which code says no."""

from __future__ import annotations

from typing import Any

import pytest

from tenzij.engines.protocol import Generation
from tenzij.errors import CallerError
from tenzij.gateway.completion_request import asked_from_completion
from tenzij.gateway.embedding_request import asked_from_embedding
from tenzij.types import Task

CANARY = "kanarie-piet-4711"


@pytest.mark.parametrize("prompt", ["Een, twee,", ["Een, twee,"]])
def test_a_prompt(prompt: Any) -> None:
    asked = asked_from_completion({"prompt": prompt, "logprobs": 0, "stop": "drie"})
    assert asked.generation == Generation(task=Task.COMPLETION, prompt="Een, twee,", logprobs=0, stop=("drie",))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"prompt": ""}, "invalid_value"),
        ({"prompt": [CANARY, CANARY]}, "invalid_value"),
        ({"prompt": [1, 2, 3]}, "invalid_value"),
        ({"prompt": [[1, 2, 3]]}, "invalid_value"),
        ({"prompt": []}, "invalid_value"),
        ({"prompt": 3}, "invalid_value"),
        ({"prompt": "a", "echo": True}, "unsupported_parameter"),
        ({"prompt": "a", "best_of": 1}, "unsupported_parameter"),
        ({"prompt": "a", "suffix": CANARY}, "unsupported_parameter"),
        ({"prompt": "a", "logprobs": True}, "invalid_value"),
        ({"prompt": "a", "logprobs": 6}, "invalid_value"),
        ({"prompt": "a", "messages": []}, "unknown_parameter"),
        ({"prompt": "a", CANARY: 1}, "unknown_parameter"),
    ],
)
def test_refused_completions(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(CallerError) as refused:
        asked_from_completion(fields)
    assert refused.value.code == code
    assert CANARY not in refused.value.message


@pytest.mark.parametrize(
    ("given", "inputs"), [("a", ("a",)), (["a"], ("a",)), (["a", "b"], ("a", "b")), (["a"] * 256, ("a",) * 256)]
)
def test_inputs(given: Any, inputs: tuple[str, ...]) -> None:
    asked = asked_from_embedding({"input": given, "encoding_format": "base64"})
    assert asked.inputs == inputs
    assert asked.base64_vectors
    assert asked.generation is None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"input": ""}, "invalid_value"),
        ({"input": []}, "invalid_value"),
        ({"input": [1, 2]}, "invalid_value"),
        ({"input": [[1, 2]]}, "invalid_value"),
        ({"input": ["a", ""]}, "invalid_value"),
        ({"input": ["a"] * 257}, "invalid_value"),
        ({"input": {CANARY: 1}}, "invalid_value"),
        ({"input": "a", "encoding_format": CANARY}, "invalid_value"),
        ({"input": "a", "dimensions": 3}, "unsupported_parameter"),
        ({"input": "a", "stream": True}, "unknown_parameter"),
    ],
)
def test_refused_embeddings(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(CallerError) as refused:
        asked_from_embedding(fields)
    assert refused.value.code == code
    assert CANARY not in refused.value.message
