"""The entry `besluit`: what was decided about one request, on which facts, under which policy version.

Rules
- All of `policy.facts.Facts` is here, so that the decision can be replayed: the time and the caller in the six fields
  (`tijdstempel`, `actor`), the rest under `feiten`. All of the decision is under `besluit`, as codes.
- Sets are sorted lists, so that one fact has one form. Lists that have an order keep it.
- `resultaat` and `object` repeat for a reader of six fields what `besluit` and `feiten` say; they must agree.
- A refused decision is final: no outcome follows. An allowed one has exactly one outcome.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from tenzij.ledger.fields import UNKNOWN_MODEL, Code, Count, Entry, Hash, LevelCode, ms_from_timestamp
from tenzij.types import Capability, PersonalData, Task, Verification

ALLOWED: Final = "toegestaan"
REFUSED: Final = "geweigerd"


def _require_set(codes: tuple[str, ...]) -> None:
    if len(codes) > 1 and list(codes) != sorted(set(codes)):
        raise ValueError("a set is a sorted list, each member once")


class FindingsRecord(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"level": "niveau", "personal_data": "persoonsgegevens", "counts": "aantallen"},
):
    """What detection found (`bevindingen`): kinds and numbers."""

    detector: Code
    level: LevelCode | None
    personal_data: tuple[PersonalData, ...]  # sorted
    counts: dict[Code, Count]

    def __post_init__(self) -> None:
        """Raises ValueError when a set is not in its one form."""
        _require_set(self.personal_data)


class VolumeRecord(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "exception": "uitzondering",
        "requests": "verzoeken",
        "tokens": "tokens",
        "cost_microeuros": "kosten_microeuro",
    },
):
    """How much of one exception's volume was used."""

    exception: Code
    requests: Count
    tokens: Count
    cost_microeuros: Count


class FactsRecord(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "use_case": "toepassing",
        "key_use_cases": "sleutel_toepassingen",
        "declared": "verklaard_niveau",
        "findings": "bevindingen",
        "task": "taak",
        "model": "gevraagd_model",
        "needs": "vermogens",
        "supplier": "leverancier",
        "tokens_wanted": "tokens_gewenst",
        "volumes": "volumes",
        "switches": "schakelaars",
    },
):
    """The facts (`feiten`), but for time and caller, which are among the six fields."""

    use_case: Code | None
    key_use_cases: tuple[Code, ...]
    declared: LevelCode | None
    findings: FindingsRecord
    task: Task
    model: Code | None  # null: the request named none; UNKNOWN_MODEL: one that the policy version does not know
    needs: tuple[Capability, ...]  # sorted
    supplier: Code | None
    tokens_wanted: Count
    volumes: tuple[VolumeRecord, ...]  # sorted by exception
    switches: tuple[Code, ...]  # sorted

    def __post_init__(self) -> None:
        """Raises ValueError when a set is not in its one form."""
        _require_set(self.needs)
        _require_set(self.switches)
        _require_set(tuple(volume.exception for volume in self.volumes))


class _Verdict(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="uitspraak",
    rename={
        "rule": "regel",
        "snapshot": "beleid",
        "level": "niveau",
        "weights": "gewichten",
        "verification": "controle",
        "warnings": "waarschuwingen",
        "supplier": "leverancier",
        "exception": "uitzondering",
        "obligations": "verplichtingen",
        "instead": "alternatieven",
    },
):
    rule: Code


class LocalRecord(_Verdict, frozen=True, tag="lokaal"):
    """Runs on a government system."""

    snapshot: Hash
    model: Code
    weights: Hash
    verification: Verification | None  # how the loaded weights were held against this hash; null: not known yet
    level: LevelCode
    warnings: tuple[Code, ...]


class ExceptionalRecord(_Verdict, frozen=True, tag="uitzondering"):
    """Leaves, under one granted exception."""

    snapshot: Hash
    model: Code
    supplier: Code
    exception: Code
    level: LevelCode
    obligations: tuple[Code, ...]


class RefusedRecord(_Verdict, frozen=True, tag="geweigerd"):
    """Does not happen."""

    snapshot: Hash | None
    level: LevelCode | None
    instead: tuple[Code, ...]


VerdictRecord = LocalRecord | ExceptionalRecord | RefusedRecord


class QuestionCommitment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"question": "vraag"}):
    """HMAC-SHA-256 of what was asked, under a key of this entry alone (`commitments`); null: nothing was read."""

    question: Hash | None


class DecisionEntry(
    Entry,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="besluit",
    rename={
        "action": "actie",
        "result": "resultaat",
        "decision": "besluit",
        "facts": "feiten",
        "commitments": "verbintenissen",
    },
):
    """One decision. Build it with `conversion.besluit_from`."""

    kind: ClassVar[str] = "besluit"
    action: Literal["verzoek.beoordelen"] = "verzoek.beoordelen"
    result: Literal["toegestaan", "geweigerd"]
    decision: VerdictRecord
    facts: FactsRecord
    commitments: QuestionCommitment

    def __post_init__(self) -> None:
        """Raises ValueError when the six fields contradict what they repeat."""
        ms_from_timestamp(self.timestamp)
        if self.result != result_of(self.decision):
            raise ValueError("resultaat contradicts besluit")
        if self.target != target_of(self.decision, self.facts):
            raise ValueError("object contradicts besluit and feiten")

    @property
    def is_allowed(self) -> bool:
        """Whether an outcome must follow."""
        return self.result == ALLOWED


def result_of(decision: VerdictRecord) -> Literal["toegestaan", "geweigerd"]:
    """`resultaat` of a decision."""
    return REFUSED if isinstance(decision, RefusedRecord) else ALLOWED


def target_of(decision: VerdictRecord, facts: FactsRecord) -> str:
    """`object` of a decision: the model that it allows or that was asked for, else the use case."""
    if not isinstance(decision, RefusedRecord):
        return f"model/{decision.model}"
    if facts.model is not None and facts.model != UNKNOWN_MODEL:
        return f"model/{facts.model}"
    return f"toepassing/{facts.use_case or 'onbekend'}"
