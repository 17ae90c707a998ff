"""What an operator can ask of the register: a table of verbs, each with the type of its arguments.

Rules
- Arguments are checked against their type before the verb runs: unknown ones and wrong types are refused.
- A verb that changes something does so in one transaction with the policy version that follows from it.
- Answers are plain JSON. `key_create` is the only one that ever holds a key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from tenzij.register.api_keys import create_key, key_views, revoke_key
from tenzij.register.models import admit, current_models, known_ids, view_of_model, withdraw
from tenzij.register.refusals import BadCall
from tenzij.register.register import Register
from tenzij.register.use_cases import current_use_cases, view_of_use_case
from tenzij.types import ModelId

OPERATOR = "operator"  # whoever may use the machine's own command line; persons come later


class Arguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the arguments of a verb; as it is: none."""


class KeyCreate(Arguments, frozen=True):
    """Of `key_create`."""

    name: str
    use_cases: list[str]
    days: int
    loopback_only: bool = False
    owner: str | None = None  # a pseudonym; the log shows it


class ById(Arguments, frozen=True):
    """Of `key_revoke` and `model_remove`."""

    id: str


class ModelAdd(Arguments, frozen=True):
    """Of `model_add`."""

    passport: dict[str, Any]


def _key_create(register: Register, asked: KeyCreate) -> dict[str, Any]:
    with register.changing() as (session, now_ms):
        return create_key(
            session,
            register.secrets.pepper,
            name=asked.name,
            use_cases=asked.use_cases,
            days=asked.days,
            loopback_only=asked.loopback_only,
            owner=asked.owner,
            by=OPERATOR,
            now_ms=now_ms,
        )


def _key_list(register: Register, _asked: Arguments) -> list[dict[str, Any]]:
    with register.reading() as (session, now_ms):
        return key_views(session, now_ms)


def _key_revoke(register: Register, asked: ById) -> dict[str, Any]:
    with register.changing() as (session, now_ms):
        return revoke_key(session, asked.id, OPERATOR, now_ms)


def _model_add(register: Register, asked: ModelAdd) -> dict[str, Any]:
    with register.changing() as (session, now_ms):
        model = admit(session, asked.passport, OPERATOR, now_ms)
    return next(view for view in _model_list(register, Arguments()) if view["id"] == model)


def _model_list(register: Register, _asked: Arguments) -> list[dict[str, Any]]:
    with register.reading() as (session, _now_ms):
        return [view_of_model(model) for model in current_models(session)]


def _model_known(register: Register, _asked: Arguments) -> list[str]:
    with register.reading() as (session, _now_ms):
        return list(known_ids(session))


def _model_remove(register: Register, asked: ById) -> dict[str, Any]:
    with register.changing() as (session, now_ms):
        withdraw(session, ModelId(asked.id), now_ms)
    return {"id": asked.id}


def _use_case_list(register: Register, _asked: Arguments) -> list[dict[str, Any]]:
    with register.reading() as (session, _now_ms):
        return [view_of_use_case(record) for record in current_use_cases(session)]


def _policy(register: Register, _asked: Arguments) -> dict[str, Any]:
    version = register.published.version
    return {
        "hash": version.hash,
        "snapshot": version.content.decode(),
        "signature": version.signature.hex(),
        "key": register.secrets.public_key.hex(),
    }


@dataclass(frozen=True, slots=True)
class Verb:
    """What it takes and what it does."""

    arguments: type[Arguments]
    run: Callable[[Register, Any], Any]


VERBS: Mapping[str, Verb] = MappingProxyType(
    {
        "key_create": Verb(KeyCreate, _key_create),
        "key_list": Verb(Arguments, _key_list),
        "key_revoke": Verb(ById, _key_revoke),
        "model_add": Verb(ModelAdd, _model_add),
        "model_list": Verb(Arguments, _model_list),
        "model_known": Verb(Arguments, _model_known),
        "model_remove": Verb(ById, _model_remove),
        "use_case_list": Verb(Arguments, _use_case_list),
        "policy": Verb(Arguments, _policy),
    }
)


def perform(register: Register, verb: str, arguments: Mapping[str, Any]) -> Any:
    """Does what was asked; its answer, plain JSON. Raises CallerError, PlatformError or RegisterFailed."""
    known = VERBS.get(verb)
    if known is None:
        raise BadCall(f"There is no such verb. There are: {', '.join(VERBS)}.")
    try:
        asked = msgspec.convert(dict(arguments), known.arguments)
    except msgspec.ValidationError as error:
        raise BadCall(f"The arguments of {verb} are not right: {error}.") from None
    return known.run(register, asked)
