"""What it means when llama.cpp refuses or fails: its error -> one of ours. Pure.

Its sentence is looked at to tell faults apart and never passed on: it quotes pieces of JSON, schemas and roles.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tenzij.engines.faults import (
    ContextTooLong,
    EngineFailed,
    EngineUnreachable,
    UnfollowableSchema,
    UnusableMessages,
)
from tenzij.engines.protocol import Generation
from tenzij.errors import TenzijError
from tenzij.types import Task

# An input to embed that does not fit a batch, which the worker makes as large as the context.
_TOO_LARGE: Final = re.compile(r"input \(([0-9]{1,9}) tokens\) is too large .* \(current batch size: ([0-9]{1,9})\)$")


class LlamaError(msgspec.Struct):
    """llama.cpp's `error` object, as far as it is read."""

    type: str = ""
    message: str = ""
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class _Body(msgspec.Struct):
    error: LlamaError


_body: Final = msgspec.json.Decoder(_Body)


def fault_from_body(body: bytes, generation: Generation | None) -> TenzijError:
    """What a refusal by llama.cpp means, from its body; `generation` is None for embeddings."""
    try:
        return fault_from(_body.decode(body).error, generation)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return EngineFailed()


def fault_from(error: LlamaError, generation: Generation | None) -> TenzijError:
    """Our error for llama.cpp's."""
    if too_large := _TOO_LARGE.match(error.message):
        return ContextTooLong(int(too_large[2]), int(too_large[1]), _param(generation))
    match error.type:
        case "exceed_context_size_error":
            return ContextTooLong(error.n_ctx, error.n_prompt_tokens, _param(generation))
        case "unavailable_error":
            return EngineUnreachable()
        case "invalid_request_error" if generation is not None and generation.response_format:
            return UnfollowableSchema("the engine cannot make a grammar of it")
        case "invalid_request_error" if generation is not None and generation.task is Task.CHAT:
            return UnusableMessages()
    return EngineFailed()


def _param(generation: Generation | None) -> str:
    if generation is None:
        return "input"
    return "messages" if generation.task is Task.CHAT else "prompt"
