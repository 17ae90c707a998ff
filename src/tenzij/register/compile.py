"""Records to a policy version: what the register knows, as the canonical bytes that decide. Pure.

Rules
- The same records and `made_ms` give the same bytes, in whatever order they come.
- A use case is active only if it is switched on and complete; one without a class floor is incomplete.
- A use case that allows every model gets them in the order in which they were admitted; one that lists models keeps
  its own order, without those that are not admitted (any more).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tenzij.passport import Passport
from tenzij.policy.decide import LATEST_RULES
from tenzij.policy.snapshot import Model, Snapshot, UseCase
from tenzij.policy.snapshot_json import bytes_from_snapshot
from tenzij.types import Level, Location, ModelId, PersonalData, Sha256, UseCaseId


@dataclass(frozen=True, slots=True)
class UseCaseRecord:
    """One use case as it is now."""

    id: UseCaseId
    version: int
    active: bool
    floor: Level | None
    ceiling: Level
    personal_data: frozenset[PersonalData]
    refuse_findings: bool
    every_model: bool  # all admitted models; else `models`
    models: tuple[ModelId, ...] = ()


@dataclass(frozen=True, slots=True)
class AdmittedModel:
    """One model as it is now."""

    passport: Passport
    version: int
    location: Location
    admitted_ms: int  # when it was taken in, whatever versions came after

    @property
    def id(self) -> ModelId:
        """What a client writes in `model`."""
        return self.passport.id


def policy_bytes(use_cases: Sequence[UseCaseRecord], models: Sequence[AdmittedModel], made_ms: int) -> bytes:
    """The canonical bytes of the policy version that these make. Raises BadSnapshot if they contradict each other."""
    ordered = sorted(models, key=lambda model: (model.admitted_ms, model.id))
    snapshot = Snapshot(
        hash=Sha256(""),  # named by its bytes, which do not hold it
        rules=LATEST_RULES,
        made_ms=made_ms,
        use_cases=MappingProxyType({record.id: _use_case(record, ordered) for record in use_cases}),
        models=MappingProxyType({model.id: _model(model) for model in ordered}),
    )
    return bytes_from_snapshot(snapshot)


def _use_case(record: UseCaseRecord, models: Sequence[AdmittedModel]) -> UseCase:
    admitted = tuple(model.id for model in models)
    return UseCase(
        id=record.id,
        active=record.active and record.floor is not None,
        floor=record.floor,
        ceiling=record.ceiling,
        personal_data=record.personal_data,
        refuse_findings=record.refuse_findings,
        models=admitted if record.every_model else tuple(model for model in record.models if model in admitted),
    )


def _model(model: AdmittedModel) -> Model:
    return Model(
        id=model.id,
        weights=model.passport.file.sha256,
        location=model.location,
        tasks=frozenset(model.passport.tasks),
        capabilities=frozenset(model.passport.capabilities),
        context_tokens=model.passport.context_tokens,
        licence=model.passport.licence,
    )
