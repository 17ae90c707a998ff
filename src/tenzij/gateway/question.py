"""What goes to an engine, as one sequence of bytes: what the ledger's commitment to a question is made of. Pure.

JSON in UTF-8 with sorted keys and the shortest form of each number, of exactly the fields below; what was not given is
null. The same question gives the same bytes in every version of this file: a change gets a new `v`.
"""

from __future__ import annotations

import msgspec

from tenzij.gateway.asked import Asked
from tenzij.types import ModelId

VERSION = 1


def question_bytes(asked: Asked, model: ModelId | None) -> bytes:
    """The bytes of what `asked` asks of `model`, which is the decision's; None when that was a refusal."""
    tree: dict[str, object] = {"v": VERSION, "task": asked.task.value, "model": model, "inputs": asked.inputs}
    if asked.generation is not None:
        for name in asked.generation.__dataclass_fields__:
            if name not in ("task", "extra"):
                tree[name] = getattr(asked.generation, name)
    return msgspec.json.encode(tree, order="sorted")
