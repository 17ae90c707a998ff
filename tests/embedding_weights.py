"""Weights that can embed, for tests: the default model's file with a pooling type stated in its header.

No embedding model of a size for tests can be had as a package. The vectors mean little; the path they take is real.
GGUF (version 3): magic, version, number of tensors, number of key-value pairs, then the pairs, each a key (length,
bytes), a type and a value. Two pairs of 64 bytes together are put in front, so that the tensors stay aligned to 32.
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = struct.Struct("<4sIQQ")
_UINT32 = 4
_MEAN = 1


def _pair(key: bytes, value: int) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<II", _UINT32, value)


def make_embedding_weights(source: Path, target: Path) -> None:
    """Writes `target`: the weights in `source`, pooled to one vector by their mean."""
    content = source.read_bytes()
    magic, version, tensors, pairs = _HEADER.unpack_from(content)
    added = _pair(b"llama.pooling_type", _MEAN) + _pair(b"tenzij.padding", 0)
    if magic != b"GGUF" or len(added) % 32:
        raise ValueError("the header is not what this was written for")
    target.write_bytes(_HEADER.pack(magic, version, tensors, pairs + 2) + added + content[_HEADER.size :])
