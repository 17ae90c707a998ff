"""What a request asks, once parsed and checked: the left-hand side of everything that follows.

Only what stands here goes on: to the policy (`facts`), to the ledger, and to an engine, which gets it written anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tenzij.engines.protocol import Generation
from tenzij.types import Capability, ModelId, Task

MAX_MODEL_CHARS = 256
MAX_USER_CHARS = 256

# A tokenizer's vocabulary has no entry for fewer bytes than one, and seldom needs one for fewer than three.
_BYTES_A_TOKEN = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """One request's wish. `generation` for chat and completion, `inputs` for embeddings."""

    task: Task
    model: ModelId | None
    prompt_bytes: int  # size of the text in UTF-8
    generation: Generation | None = None
    inputs: tuple[str, ...] = ()
    needs: frozenset[Capability] = field(default_factory=frozenset)
    stream: bool = False
    include_usage: bool = False
    base64_vectors: bool = False

    @property
    def prompt_estimate(self) -> int:
        """Tokens that the prompt will take, roughly; known exactly only by the engine."""
        return self.prompt_bytes // _BYTES_A_TOKEN + 1
