"""Models on file: admitted by their passport, withdrawn, never overwritten.

Rules
- An id keeps its weights as long as it is admitted: other weights under the same id are refused, so that a named model
  is never silently another. A passport that differs in anything else becomes a new version.
- Withdrawing ends the last version. The id may be admitted again, also with other weights: that is then on record.
- All models here run on this machine (`eigen`); partners come later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tenzij.channels.control import ModelSpec
from tenzij.passport import Passport, passport_from_tree, tree_from_passport
from tenzij.register.compile import AdmittedModel
from tenzij.register.refusals import ModelExists, NotFound, TooMany
from tenzij.register.tables import ModelRow, ModelVersionRow
from tenzij.types import Location, ModelId

MAX_MODELS = 200  # the supervisor is told of all in one message of at most 128 KiB


def admit(session: Session, tree: Mapping[str, Any], by: str, now_ms: int) -> ModelId:
    """Admits the model of this passport; nothing changes if it is admitted with the very same one.

    Raises BadPassport, ModelExists, TooMany.
    """
    passport = passport_from_tree(tree)
    current = _current_row(session, passport.id)
    stored = _stored(passport)
    admitted_ms = now_ms
    if current is not None:
        if current.weights != passport.file.sha256:
            raise ModelExists(
                f"A model {passport.id} with other weights is admitted. Give this one another id, or remove that one "
                "first."
            )
        if current.passport == stored:
            return passport.id
        current.until_ms = now_ms
        admitted_ms = current.admitted_ms
    elif len(current_models(session)) >= MAX_MODELS:
        raise TooMany(f"{MAX_MODELS} models are admitted, which is the most there can be. Remove one first.")
    elif session.get(ModelRow, passport.id) is None:
        session.add(ModelRow(id=passport.id, made_ms=now_ms))
        session.flush()
    session.add(
        ModelVersionRow(
            model=passport.id,
            version=1 + _last_version(session, passport.id),
            from_ms=now_ms,
            until_ms=None,
            admitted_ms=admitted_ms,
            by=by,
            location=Location.OWN.value,
            weights=passport.file.sha256,
            passport=stored,
        )
    )
    return passport.id


def withdraw(session: Session, model: ModelId, now_ms: int) -> None:
    """Ends the model's admission. Raises NotFound."""
    current = _current_row(session, model)
    if current is None:
        raise NotFound("No model of that id is admitted. `tenzij model list` shows those that are.", param="id")
    current.until_ms = now_ms


def current_models(session: Session) -> tuple[AdmittedModel, ...]:
    """All admitted models, in the order in which they were taken in."""
    rows = session.scalars(
        select(ModelVersionRow)
        .where(ModelVersionRow.until_ms.is_(None))
        .order_by(ModelVersionRow.admitted_ms, ModelVersionRow.model)
    )
    return tuple(_record(row) for row in rows)


def known_ids(session: Session) -> tuple[str, ...]:
    """The ids of all models that were ever admitted, withdrawn ones too."""
    return tuple(session.scalars(select(ModelRow.id).order_by(ModelRow.id)))


def spec_of(model: AdmittedModel) -> ModelSpec:
    """What the supervisor must know in order to run it."""
    return ModelSpec(
        model=model.id,
        weights=model.passport.file.sha256,
        size_bytes=model.passport.file.size_bytes,
        file=f"{model.passport.file.sha256}.{model.passport.file.format}",
        tasks=[task.value for task in model.passport.tasks],
        context_tokens=model.passport.context_tokens,
    )


def view_of_model(model: AdmittedModel) -> dict[str, Any]:
    """What the operator sees."""
    return {
        "id": model.id,
        "name": model.passport.name,
        "sha256": model.passport.file.sha256,
        "size_bytes": model.passport.file.size_bytes,
        "licence": model.passport.licence,
        "tasks": [task.value for task in model.passport.tasks],
        "capabilities": [capability.value for capability in model.passport.capabilities],
        "context_tokens": model.passport.context_tokens,
        "location": model.location.value,
        "admitted_ms": model.admitted_ms,
        "version": model.version,
        "passport": tree_from_passport(model.passport),
    }


def _current_row(session: Session, model: str) -> ModelVersionRow | None:
    return session.scalars(
        select(ModelVersionRow).where(ModelVersionRow.model == model, ModelVersionRow.until_ms.is_(None))
    ).one_or_none()


def _last_version(session: Session, model: str) -> int:
    found = session.scalar(select(func.max(ModelVersionRow.version)).where(ModelVersionRow.model == model))
    return found or 0


def _record(row: ModelVersionRow) -> AdmittedModel:
    passport = passport_from_tree(json.loads(row.passport))
    return AdmittedModel(passport, row.version, Location(row.location), row.admitted_ms)


def _stored(passport: Passport) -> str:
    return json.dumps(tree_from_passport(passport), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
