"""What llama.cpp is asked: a generation -> path and body. Pure.

- A body holds what is named here and nothing else. It always asks for a stream with progress and counts: llama.cpp
  notices a hang-up only when it has something to send.
- JSON is asked for by a grammar of LLGuidance, which follows a schema exactly; see `json_schema`.

The dialect is that of llama.cpp's `tools/server` in October 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tenzij.engines.json_schema import schema_anew
from tenzij.engines.protocol import Generation
from tenzij.types import Task

CHAT_PATH: Final = "/v1/chat/completions"
COMPLETION_PATH: Final = "/v1/completions"
EMBEDDING_PATH: Final = "/v1/embeddings"

_SEEDS: Final = 2**32 - 1  # the one seed above these means "a random one" to llama.cpp
_ALWAYS: Final[Mapping[str, Any]] = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "return_progress": True,
    "timings_per_token": True,
    "cache_prompt": False,
}
_AS_THEY_ARE: Final = ("max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty")
_LLGUIDANCE: Final = "%llguidance {}\nstart: %json "


def path_for(generation: Generation) -> str:
    """Where the request goes."""
    return CHAT_PATH if generation.task is Task.CHAT else COMPLETION_PATH


def body_for(generation: Generation) -> bytes:
    """The request's body, JSON. Raises UnfollowableSchema."""
    body: dict[str, Any] = dict(_ALWAYS)
    if generation.task is Task.CHAT:
        body["messages"] = [{"role": each.role, "content": each.content} for each in generation.messages]
    else:
        body["prompt"] = generation.prompt
    body |= {name: value for name in _AS_THEY_ARE if (value := getattr(generation, name)) is not None}
    if generation.seed is not None:
        body["seed"] = generation.seed % _SEEDS
    if generation.stop:
        body["stop"] = list(generation.stop)
    if generation.logprobs is not None:
        count = max(generation.logprobs, 1)  # none would turn log probabilities off as a whole
        body |= {"logprobs": True, "top_logprobs": count} if generation.task is Task.CHAT else {"logprobs": count}
    if generation.response_format is not None:
        body["grammar"] = grammar_for(generation.response_format)
    return msgspec.json.encode(body)


def grammar_for(response_format: Mapping[str, Any]) -> str:
    """The grammar for OpenAI's `response_format`: any JSON object, or a schema. Raises UnfollowableSchema."""
    schema: dict[str, Any] = {"type": "object"}
    if response_format["type"] == "json_schema":
        schema = schema_anew(response_format["json_schema"]["schema"])
    # No space between tokens: small models else fill the answer with it.
    compact = {"x-guidance": {"whitespace_flexible": False}, **schema}
    return _LLGUIDANCE + msgspec.json.encode(compact).decode()


def embedding_body_for(inputs: tuple[str, ...]) -> bytes:
    """The body that asks for embeddings."""
    return msgspec.json.encode({"input": inputs, "encoding_format": "float"})
