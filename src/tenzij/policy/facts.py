"""Everything about one request that the decision may look at; what is not here cannot matter.

- Facts carry all that changes from request to request: the time, volumes used, switches, what detection found.
- Facts never carry text: findings are counts.
- Together with a snapshot's hash they give the same decision again (promise 9), so they are recorded in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenzij.types import Capability, KeyId, Level, ModelId, PersonalData, Task, UseCaseId


@dataclass(frozen=True, slots=True)
class Volume:
    """How much of one exception's volume is used, reserved included."""

    exception: str
    requests: int
    tokens: int
    cost_microeuros: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What detection found in the text, without the text."""

    detector: str  # name and version; "geen" when there is no detector
    level: Level | None  # the lowest class that the findings allow; None when they say nothing
    personal_data: frozenset[PersonalData]
    counts: tuple[tuple[str, int], ...] = ()  # (kind, number), sorted by kind


NO_DETECTION = Findings(detector="geen", level=None, personal_data=frozenset({PersonalData.UNKNOWN}))


@dataclass(frozen=True, slots=True)
class Facts:
    """One request, as the decision sees it."""

    time_ms: int  # milliseconds since 1970, UTC
    caller: KeyId | None  # None: not known, or the key is no longer valid
    use_case: UseCaseId | None  # chosen by header, or the key's only one; None: not chosen or not the key's
    declared: Level | None  # `Tenzij-Vertrouwelijkheid`; can only raise
    findings: Findings
    task: Task
    model: ModelId | None  # as the request names it; None: it names none
    needs: frozenset[Capability] = frozenset()
    supplier: str | None = None  # when `model` names a supplier's model, which supplier
    tokens_wanted: int = 0  # prompt estimate and answer limit together
    volumes: tuple[Volume, ...] = ()
    switches: frozenset[str] = frozenset()  # e.g. "uitgang_dicht": nothing may leave
    key_use_cases: tuple[UseCaseId, ...] = ()  # the key's own; only named, never chosen from, when none was chosen
