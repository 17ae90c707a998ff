"""POST /v1/embeddings: JSON tree -> what is asked, or a CallerError.

OpenAI API reference, "Create embeddings". Token ids are refused: nobody could see what they say.
"""

from __future__ import annotations

from typing import Any

from tenzij.gateway import sampling
from tenzij.gateway.asked import Asked
from tenzij.gateway.fields import Fields
from tenzij.types import Task

KNOWN = frozenset({"encoding_format", "input", "model", "user"})
UNSUPPORTED = frozenset({"dimensions"})
MAX_INPUTS = 256


def asked_from_embedding(tree: Any) -> Asked:
    """What an embedding request asks. Raises CallerError."""
    fields = Fields(tree, known=KNOWN, unsupported=UNSUPPORTED)
    sampling.verify_user(fields)
    inputs = _inputs_from(fields)
    return Asked(
        task=Task.EMBEDDING,
        model=sampling.model_from(fields),
        prompt_bytes=sum(len(text.encode()) for text in inputs),
        inputs=inputs,
        base64_vectors=fields.choice("encoding_format", ("float", "base64")) == "base64",
    )


def _inputs_from(fields: Fields) -> tuple[str, ...]:
    given = fields.required("input")
    texts = given if isinstance(given, list) else [given]
    if not 1 <= len(texts) <= MAX_INPUTS or not all(isinstance(text, str) and text for text in texts):
        raise fields.fault(
            "input", f"must be a text or a list of 1 to {MAX_INPUTS} texts, none empty; token ids are not taken"
        )
    return tuple(texts)
