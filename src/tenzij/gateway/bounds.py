"""The limit of an answer, once it is known which model gives it. Pure."""

from __future__ import annotations

from dataclasses import replace

from tenzij.gateway.asked import Asked
from tenzij.gateway.refusals import ContextLengthExceeded


def bounded(asked: Asked, context_tokens: int, default_max_tokens: int) -> Asked:
    """`asked` with an answer limit that a context of `context_tokens` can hold. Raises ContextLengthExceeded."""
    generation = asked.generation
    if generation is None:
        return asked
    wanted = generation.max_tokens
    if wanted is not None and wanted > context_tokens:
        raise ContextLengthExceeded(
            f"max_tokens is more than this model's context, which is {context_tokens} tokens for prompt and answer "
            "together. Ask for fewer.",
            param="max_tokens",
        )
    limit = wanted or min(default_max_tokens, context_tokens)
    return replace(asked, generation=replace(generation, max_tokens=limit))
