"""POST /v1/completions: JSON tree -> what is asked, or a CallerError.

A prompt is one text, or a list of one. Token ids are refused: nobody could see what they say.

OpenAI API reference, "Create completion" (legacy).
"""

from __future__ import annotations

from typing import Any

from tenzij.engines.protocol import Generation
from tenzij.gateway import sampling
from tenzij.gateway.asked import Asked
from tenzij.gateway.fields import Fields
from tenzij.types import Task

KNOWN = sampling.KNOWN | {"prompt"}
UNSUPPORTED = frozenset({"best_of", "echo", "logit_bias", "response_format", "suffix"})


def asked_from_completion(tree: Any) -> Asked:
    """What a text completion asks. Raises CallerError."""
    fields = Fields(tree, known=KNOWN, unsupported=UNSUPPORTED)
    sampling.verify_user(fields)
    sampling.verify_one_answer(fields)
    prompt = _prompt_from(fields)
    delivery = sampling.delivery_from(fields)
    return Asked(
        task=Task.COMPLETION,
        model=sampling.model_from(fields),
        prompt_bytes=len(prompt.encode()),
        stream=delivery.stream,
        include_usage=delivery.include_usage,
        generation=Generation(
            task=Task.COMPLETION,
            prompt=prompt,
            max_tokens=fields.integer("max_tokens", 1, sampling.MAX_TOKENS),
            temperature=fields.number("temperature", 0, 2),
            top_p=fields.number("top_p", 0, 1),
            seed=fields.integer("seed", 0, sampling.MAX_SEED),
            stop=sampling.stops_from(fields),
            frequency_penalty=fields.number("frequency_penalty", -2, 2),
            presence_penalty=fields.number("presence_penalty", -2, 2),
            logprobs=fields.integer("logprobs", 0, 5),
        ),
    )


def _prompt_from(fields: Fields) -> str:
    given = fields.required("prompt")
    texts = given if isinstance(given, list) else [given]
    if len(texts) != 1 or not isinstance(texts[0], str) or not texts[0]:
        raise fields.fault("prompt", "must be one text, not empty; several texts and token ids are not taken")
    return texts[0]
