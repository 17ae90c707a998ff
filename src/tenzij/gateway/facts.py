"""What a request asks -> the facts that the policy decides by. Pure.

A name that the policy version does not know is the client's own text, and facts are recorded: so it becomes
`UNKNOWN_MODEL`, which no model can be called, before anything is decided. The decision is the same, and replays.
"""

from __future__ import annotations

from tenzij.gateway.asked import Asked
from tenzij.identity.caller import Caller
from tenzij.ledger.fields import UNKNOWN_MODEL
from tenzij.policy.facts import NO_DETECTION, Facts
from tenzij.policy.snapshot import Snapshot
from tenzij.types import Level, ModelId, UseCaseId


def facts_from(
    asked: Asked,
    caller: Caller,
    snapshot: Snapshot,
    *,
    use_case: UseCaseId | None,
    declared: Level | None,
    now_ms: int,
    default_max_tokens: int,
) -> Facts:
    """The facts of one request under this policy version."""
    model = asked.model
    if model is not None and model not in snapshot.models and model not in snapshot.supplier_models:
        model = ModelId(UNKNOWN_MODEL)
    answer = 0
    if asked.generation is not None:
        answer = asked.generation.max_tokens or default_max_tokens
    return Facts(
        time_ms=now_ms,
        caller=caller.key,
        use_case=use_case,
        declared=declared,
        findings=NO_DETECTION,
        task=asked.task,
        model=model,
        needs=asked.needs,
        supplier=None if model is None else snapshot.supplier_models.get(model),
        tokens_wanted=asked.prompt_estimate + answer,
        key_use_cases=caller.use_cases,
    )
