"""What a request asks -> the facts that the policy decides by. Pure."""

from __future__ import annotations

from tenzij.gateway.asked import Asked
from tenzij.identity.caller import Caller
from tenzij.policy.facts import NO_DETECTION, Facts
from tenzij.policy.snapshot import Snapshot
from tenzij.types import Level, UseCaseId


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
        model=asked.model,
        needs=asked.needs,
        supplier=None if asked.model is None else snapshot.supplier_models.get(asked.model),
        tokens_wanted=asked.prompt_estimate + answer,
        key_use_cases=caller.use_cases,
    )
