"""Use cases on file, and the one that an installation begins with.

`verkenning` (exploration) is for trying out what local models can do, by people who hold a key for it:
- classes 1 and 2 (openbaar, intern): nothing that is about a case, and nothing confidential;
- ordinary personal data may be in the text, since names are in almost any; a BSN or special categories are refused as
  soon as something finds them;
- `onbekend` is permitted, or it could not be used before detection works. Such a request stays local in any case:
  no exception ever takes unknown findings;
- every admitted model, in the order of admission.

The rest of a use case (legal basis, owner, conditions of the standpunt) comes with the register's later parts.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenzij.register.compile import UseCaseRecord
from tenzij.register.tables import UseCaseRow, UseCaseVersionRow
from tenzij.types import Level, ModelId, PersonalData, UseCaseId

EXPLORATION = UseCaseRecord(
    id=UseCaseId("verkenning"),
    version=1,
    active=True,
    floor=Level.OPEN,
    ceiling=Level.INTERNAL,
    personal_data=frozenset({PersonalData.ORDINARY, PersonalData.UNKNOWN}),
    refuse_findings=True,
    every_model=True,
)

_LEVELS = MappingProxyType({level.code: level for level in Level})


def add_use_case(session: Session, record: UseCaseRecord, by: str, now_ms: int) -> None:
    """Puts a use case's first version on file."""
    session.add(UseCaseRow(id=record.id, made_ms=now_ms))
    session.flush()
    session.add(
        UseCaseVersionRow(
            use_case=record.id,
            version=record.version,
            from_ms=now_ms,
            until_ms=None,
            by=by,
            active=record.active,
            floor=record.floor.code if record.floor is not None else None,
            ceiling=record.ceiling.code,
            personal_data=sorted(kind.value for kind in record.personal_data),
            refuse_findings=record.refuse_findings,
            every_model=record.every_model,
            models=list(record.models),
        )
    )


def current_use_cases(session: Session) -> tuple[UseCaseRecord, ...]:
    """All use cases as they are now, by id."""
    rows = session.scalars(
        select(UseCaseVersionRow).where(UseCaseVersionRow.until_ms.is_(None)).order_by(UseCaseVersionRow.use_case)
    )
    return tuple(_record(row) for row in rows)


def _record(row: UseCaseVersionRow) -> UseCaseRecord:
    return UseCaseRecord(
        id=UseCaseId(row.use_case),
        version=row.version,
        active=row.active,
        floor=None if row.floor is None else _LEVELS[row.floor],
        ceiling=_LEVELS[row.ceiling],
        personal_data=frozenset(PersonalData(kind) for kind in row.personal_data),
        refuse_findings=row.refuse_findings,
        every_model=row.every_model,
        models=tuple(ModelId(model) for model in row.models),
    )


def view_of_use_case(record: UseCaseRecord) -> dict[str, Any]:
    """What the operator sees."""
    return {
        "id": record.id,
        "version": record.version,
        "active": record.active,
        "floor": record.floor.code if record.floor is not None else None,
        "ceiling": record.ceiling.code,
        "personal_data": sorted(kind.value for kind in record.personal_data),
        "refuse_findings": record.refuse_findings,
        "every_model": record.every_model,
        "models": list(record.models),
    }
