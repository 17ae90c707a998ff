"""A policy version: all that decides, compiled, immutable, named by the hash of its canonical bytes.

The register compiles and signs it; the gateway (and later each door) verifies and decides by it. The types are complete
from the start: exceptions and suppliers are empty until they exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tenzij.types import Capability, Level, Location, ModelId, PersonalData, Sha256, Task, UseCaseId

LOCAL = frozenset({Location.OWN, Location.PARTNER})  # government systems


@dataclass(frozen=True, slots=True)
class Model:
    """An admitted local model."""

    id: ModelId
    weights: Sha256
    location: Location
    tasks: frozenset[Task]
    capabilities: frozenset[Capability]
    context_tokens: int
    licence: str


@dataclass(frozen=True, slots=True)
class UseCase:
    """A purpose, with what may go in and which models it may use."""

    id: UseCaseId
    active: bool
    floor: Level | None  # None: incomplete, and so never active
    ceiling: Level
    personal_data: frozenset[PersonalData]
    refuse_findings: bool  # kinds outside `personal_data`: refused, or (False) warned about, locally
    models: tuple[ModelId, ...]  # allowed local models; the first that fits is the default


@dataclass(frozen=True, slots=True)
class ExceptionGrant:
    """A granted exception (uitzondering), as far as deciding needs it."""

    id: str
    use_case: UseCaseId
    supplier: str
    model: ModelId
    tasks: frozenset[Task]
    ceiling: Level
    personal_data: frozenset[PersonalData]
    from_ms: int
    until_ms: int
    max_requests: int
    max_tokens: int
    max_cost_microeuros: int
    obligations: tuple[str, ...]
    bar: tuple[ModelId, ...]  # local models tried and found short, with evidence on file
    reassess_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One policy version. `hash` is the SHA-256 of the canonical bytes that it was read from."""

    hash: Sha256
    rules: str  # version of the rule set that decides by it, e.g. "1"
    made_ms: int
    use_cases: Mapping[UseCaseId, UseCase]
    models: Mapping[ModelId, Model]
    exceptions: tuple[ExceptionGrant, ...] = ()
    supplier_models: Mapping[ModelId, str] = field(default_factory=lambda: MappingProxyType({}))  # model -> supplier
