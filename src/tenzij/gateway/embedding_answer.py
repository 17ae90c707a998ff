"""The answer of POST /v1/embeddings: OpenAI's list object, vectors as numbers or as base64 of little-endian floats."""

from __future__ import annotations

import base64
import struct

import msgspec

from tenzij.engines.protocol import Embedding
from tenzij.types import ModelId


def embedding_list(embedding: Embedding, model: ModelId, *, as_base64: bool) -> bytes:
    """The JSON object, in the order of the inputs."""
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if as_base64 else list(vector)}
        for index, vector in enumerate(embedding.vectors)
    ]
    usage = {"prompt_tokens": embedding.prompt_tokens, "total_tokens": embedding.prompt_tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage})


def _packed(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
