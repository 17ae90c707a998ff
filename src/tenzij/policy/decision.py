"""What the decision can be: codes only. Sentences are rendered from them, in Dutch and English, in `sentences`."""

from __future__ import annotations

from dataclasses import dataclass

from tenzij.types import Level, ModelId, Sha256


@dataclass(frozen=True, slots=True)
class Local:
    """Runs on a government system."""

    rule: str  # name of the rule that settled it
    snapshot: Sha256  # hash of the policy version
    model: ModelId
    weights: Sha256
    level: Level
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exceptional:
    """Leaves, under one granted exception, with these obligations."""

    rule: str
    snapshot: Sha256
    model: ModelId
    supplier: str
    exception: str
    level: Level
    obligations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Does not happen. `instead` names what works: model ids, use-case ids, or a code of what to do."""

    rule: str
    snapshot: Sha256 | None  # None: there was no policy version
    level: Level | None = None
    instead: tuple[str, ...] = ()


Decision = Local | Exceptional | Refused
