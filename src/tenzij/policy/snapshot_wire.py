"""The shape of a policy version's bytes: field names, types and bounds. What must agree is in `snapshot_json`.

Rules
- The names on the wire are Dutch, as in the management API; the table of words is in `docs/design.md`.
- Texts are printable ASCII and numbers whole and below 2**53: within that, sorted JSON is what RFC 8785 asks for.
- Nothing is optional: a field may be null only where the type says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import field

from tenzij.passport import MAX_CONTEXT_TOKENS, MODEL_ID, MODEL_ID_CHARS
from tenzij.policy.snapshot import ExceptionGrant, Model, Snapshot, UseCase
from tenzij.types import Capability, Level, Location, ModelId, PersonalData, Sha256, Task, UseCaseId

FORMAT = "tenzij-beleidsversie/1"

LevelCode = Literal["niveau_1", "niveau_2", "niveau_3", "niveau_4"]
Slug = Annotated[str, msgspec.Meta(pattern=rf"^{MODEL_ID.pattern}\Z", max_length=MODEL_ID_CHARS)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,128}\Z")]  # what others named: a supplier's model, a reference
Words = Annotated[str, msgspec.Meta(pattern=r"^[ -~]{1,200}\Z")]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Context = Annotated[int, msgspec.Meta(ge=1, le=MAX_CONTEXT_TOKENS)]


class ModelWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of `modellen`, under its id."""

    weights: Digest = field(name="gewichten")
    location: Location = field(name="verwerkingslocatie")
    tasks: list[Task] = field(name="taken")
    capabilities: list[Capability] = field(name="vermogens")
    context_tokens: Context = field(name="context_tokens")
    licence: Words = field(name="licentie")


class UseCaseWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of `toepassingen`, under its id."""

    active: bool = field(name="actief")
    floor: LevelCode | None = field(name="ondergrens")
    ceiling: LevelCode = field(name="bovengrens")
    personal_data: list[PersonalData] = field(name="persoonsgegevens")
    refuse_findings: bool = field(name="weiger_bevindingen")
    models: list[Slug] = field(name="modellen")


class ExceptionWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of `uitzonderingen`, under its id."""

    use_case: Slug = field(name="toepassing")
    supplier: Slug = field(name="leverancier")
    model: Name = field(name="model")
    tasks: list[Task] = field(name="taken")
    ceiling: LevelCode = field(name="bovengrens")
    personal_data: list[PersonalData] = field(name="persoonsgegevens")
    from_ms: Count = field(name="van_ms")
    until_ms: Count = field(name="tot_ms")
    max_requests: Count = field(name="max_verzoeken")
    max_tokens: Count = field(name="max_tokens")
    max_cost_microeuros: Count = field(name="max_kosten_microeuro")
    obligations: list[Name] = field(name="verplichtingen")
    bar: list[Slug] = field(name="lat")
    reassess_until_ms: Count | None = field(name="herbeoordelen_voor_ms")


class VersionWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole."""

    format: str = field(name="formaat")
    rules: Slug = field(name="regels")
    made_ms: Count = field(name="gemaakt_ms")
    use_cases: dict[Slug, UseCaseWire] = field(name="toepassingen")
    models: dict[Slug, ModelWire] = field(name="modellen")
    exceptions: dict[Name, ExceptionWire] = field(name="uitzonderingen")
    supplier_models: dict[Name, Slug] = field(name="leveranciersmodellen")


CODES: MappingProxyType[Level, LevelCode] = MappingProxyType(
    {
        Level.OPEN: "niveau_1",
        Level.INTERNAL: "niveau_2",
        Level.CONFIDENTIAL: "niveau_3",
        Level.RESTRICTED: "niveau_4",
    }
)
LEVELS = MappingProxyType({code: level for level, code in CODES.items()})

_Word = TypeVar("_Word", Task, Capability, PersonalData)


def _sorted(words: Iterable[_Word]) -> list[_Word]:
    return sorted(words, key=str)


def wire_from_snapshot(snapshot: Snapshot) -> VersionWire:
    """The shape of `snapshot`. Raises KeyError for a class that has no place in one (state secret)."""
    return VersionWire(
        format=FORMAT,
        rules=snapshot.rules,
        made_ms=snapshot.made_ms,
        use_cases={use_case.id: _wire_from_use_case(use_case) for use_case in snapshot.use_cases.values()},
        models={model.id: _wire_from_model(model) for model in snapshot.models.values()},
        exceptions={grant.id: _wire_from_grant(grant) for grant in snapshot.exceptions},
        supplier_models={str(model): supplier for model, supplier in snapshot.supplier_models.items()},
    )


def _wire_from_model(model: Model) -> ModelWire:
    return ModelWire(
        weights=model.weights,
        location=model.location,
        tasks=_sorted(model.tasks),
        capabilities=_sorted(model.capabilities),
        context_tokens=model.context_tokens,
        licence=model.licence,
    )


def _wire_from_use_case(use_case: UseCase) -> UseCaseWire:
    return UseCaseWire(
        active=use_case.active,
        floor=None if use_case.floor is None else CODES[use_case.floor],
        ceiling=CODES[use_case.ceiling],
        personal_data=_sorted(use_case.personal_data),
        refuse_findings=use_case.refuse_findings,
        models=list(use_case.models),
    )


def _wire_from_grant(grant: ExceptionGrant) -> ExceptionWire:
    return ExceptionWire(
        use_case=grant.use_case,
        supplier=grant.supplier,
        model=grant.model,
        tasks=_sorted(grant.tasks),
        ceiling=CODES[grant.ceiling],
        personal_data=_sorted(grant.personal_data),
        from_ms=grant.from_ms,
        until_ms=grant.until_ms,
        max_requests=grant.max_requests,
        max_tokens=grant.max_tokens,
        max_cost_microeuros=grant.max_cost_microeuros,
        obligations=sorted(grant.obligations),
        bar=sorted(grant.bar),
        reassess_until_ms=grant.reassess_until_ms,
    )


def snapshot_from_wire(wire: VersionWire, name: Sha256) -> Snapshot:
    """What `wire` says, under the hash `name`. Its references were checked before: see `snapshot_json`."""
    models = {ModelId(key): _model_from_wire(ModelId(key), model) for key, model in wire.models.items()}
    use_cases = {UseCaseId(key): _use_case_from_wire(UseCaseId(key), each) for key, each in wire.use_cases.items()}
    return Snapshot(
        hash=name,
        rules=wire.rules,
        made_ms=wire.made_ms,
        use_cases=MappingProxyType(use_cases),
        models=MappingProxyType(models),
        exceptions=tuple(_grant_from_wire(key, grant) for key, grant in wire.exceptions.items()),
        supplier_models=MappingProxyType({ModelId(key): supplier for key, supplier in wire.supplier_models.items()}),
    )


def _model_from_wire(model_id: ModelId, wire: ModelWire) -> Model:
    return Model(
        id=model_id,
        weights=Sha256(wire.weights),
        location=wire.location,
        tasks=frozenset(wire.tasks),
        capabilities=frozenset(wire.capabilities),
        context_tokens=wire.context_tokens,
        licence=wire.licence,
    )


def _use_case_from_wire(use_case_id: UseCaseId, wire: UseCaseWire) -> UseCase:
    return UseCase(
        id=use_case_id,
        active=wire.active,
        floor=None if wire.floor is None else LEVELS[wire.floor],
        ceiling=LEVELS[wire.ceiling],
        personal_data=frozenset(wire.personal_data),
        refuse_findings=wire.refuse_findings,
        models=tuple(ModelId(model) for model in wire.models),
    )


def _grant_from_wire(exception_id: str, wire: ExceptionWire) -> ExceptionGrant:
    return ExceptionGrant(
        id=exception_id,
        use_case=UseCaseId(wire.use_case),
        supplier=wire.supplier,
        model=ModelId(wire.model),
        tasks=frozenset(wire.tasks),
        ceiling=LEVELS[wire.ceiling],
        personal_data=frozenset(wire.personal_data),
        from_ms=wire.from_ms,
        until_ms=wire.until_ms,
        max_requests=wire.max_requests,
        max_tokens=wire.max_tokens,
        max_cost_microeuros=wire.max_cost_microeuros,
        obligations=tuple(wire.obligations),
        bar=tuple(ModelId(model) for model in wire.bar),
        reassess_until_ms=wire.reassess_until_ms,
    )
