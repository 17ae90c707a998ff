"""Entries to test with: plain, valid, numbered."""

from __future__ import annotations

from typing import Any, Literal

from tenzij.ledger.conversion import besluit_from, uitkomst_from
from tenzij.ledger.entries import DecisionEntry, OutcomeEntry, bytes_from_entry
from tenzij.ledger.fields import Origin
from tenzij.ledger.segment import Identity
from tenzij.policy.decision import Local, Refused
from tenzij.policy.facts import NO_DETECTION, Facts
from tenzij.types import KeyId, Level, ModelId, RequestId, Sha256, Task, UseCaseId, Verification

IDENTITY = Identity("gemeente-voorbeeld", "node-1")
MODEL = ModelId("smollm2-135m-instruct")
POLICY = Sha256("a1" * 32)
WEIGHTS = Sha256("b2" * 32)
NOON_MS = 1_795_190_400_123  # 2026-11-20T16:00:00.123Z


class Known:
    """A policy version with one local model and one supplier's."""

    def __init__(self) -> None:
        self.models: dict[ModelId, object] = {MODEL: None}
        self.supplier_models: dict[ModelId, object] = {ModelId("elders-1"): None}


def request(number: int) -> RequestId:
    """A request id."""
    return RequestId(f"{number:032x}")


def facts(**changes: Any) -> Facts:
    """A chat for `verkenning`, without detection."""
    fields: dict[str, Any] = {
        "time_ms": NOON_MS,
        "caller": KeyId("k_7f3a"),
        "use_case": UseCaseId("verkenning"),
        "declared": None,
        "findings": NO_DETECTION,
        "task": Task.CHAT,
        "model": None,
        "tokens_wanted": 1100,
    }
    return Facts(**{**fields, **changes})


def decision(number: int, *, allowed: bool = True, question: str | None = None) -> DecisionEntry:
    """The decision of request `number`."""
    verdict: Local | Refused = Local("local_default", POLICY, MODEL, WEIGHTS, Level.INTERNAL)
    if not allowed:
        verdict = Refused("above_ceiling", POLICY, Level.RESTRICTED)
    return besluit_from(
        facts(),
        verdict,
        Known(),
        request=request(number),
        origin=Origin.LOCAL,
        verification=Verification.HASHED,
        question=question,
    )


def outcome(
    number: int,
    index: int,
    result: Literal["voltooid", "afgebroken", "mislukt"] = "voltooid",
    reason: str | None = None,
    answer: str | None = None,
) -> OutcomeEntry:
    """The outcome of request `number`, whose decision stands at `index`."""
    return uitkomst_from(
        decision(number),
        index,
        result,
        time_ms=NOON_MS + 1000,
        reason=reason,
        finish="stop",
        usage=(12, 34),
        duration_ms=1000,
        answer=answer,
    )


def decision_bytes(number: int, *, allowed: bool = True) -> bytes:
    """The bytes of `decision`."""
    return bytes_from_entry(decision(number, allowed=allowed))


def outcome_bytes(number: int, index: int) -> bytes:
    """The bytes of `outcome`."""
    return bytes_from_entry(outcome(number, index))
