"""API keys on file: made, listed and revoked; the key itself is given once and never stored.

Rules
- A key is for one or more use cases that exist, for at most `MAX_DAYS` days. There is no default key.
- Names are unique among live keys (neither revoked nor expired), so that a person revokes the right one.
- The owner that the log sees is a pseudonym; unless one is given, it is the key's own.
- The ring holds dead keys for `REMEMBERED_MS` after their end, so that who still uses one is told that it is expired or
  revoked; then it is unknown.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from tenzij.identity.keys import SECRET_BYTES, KeyRecord, digest_of, key_from_random
from tenzij.register.refusals import BadCall, NameTaken, NotFound, TooMany
from tenzij.register.tables import KeyRow, KeyUseCaseRow, UseCaseRow
from tenzij.types import KeyId, UseCaseId

DAY_MS = 24 * 60 * 60 * 1000
MAX_DAYS = 366
REMEMBERED_MS = 90 * DAY_MS
MAX_LIVE_KEYS = 10_000
MAX_USE_CASES = 32  # all of a key's are in each of its entries in the ledger
NAME_CHARS = 100
OWNER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def create_key(
    session: Session,
    pepper: bytes,
    *,
    name: str,
    use_cases: list[str],
    days: int,
    loopback_only: bool,
    owner: str | None,
    by: str,
    now_ms: int,
) -> dict[str, Any]:
    """Makes a key; its view, and beside that `key`, which exists nowhere else. Raises BadCall, NameTaken, NotFound."""
    _verify_name(session, name, now_ms)
    _verify_use_cases(session, use_cases)
    if owner is not None and not OWNER.fullmatch(owner):
        raise BadCall("An owner is a pseudonym of at most 64 small letters, digits, dots, _ and -.", param="owner")
    if not 1 <= days <= MAX_DAYS:
        raise BadCall(f"A key is for 1 to {MAX_DAYS} days.", param="days")
    key = key_from_random(secrets.token_bytes(SECRET_BYTES))
    row = KeyRow(
        id=f"k_{secrets.token_hex(8)}",
        digest=digest_of(key, pepper),
        name=name,
        owner=owner or f"o_{secrets.token_hex(8)}",
        by=by,
        made_ms=now_ms,
        expires_ms=now_ms + days * DAY_MS,
        loopback_only=loopback_only,
        revoked_ms=None,
        revoked_by=None,
    )
    session.add(row)
    session.flush()
    session.add_all(KeyUseCaseRow(key=row.id, use_case=each, place=place) for place, each in enumerate(use_cases))
    session.flush()
    return {**_view(row, use_cases, now_ms), "key": key}


def revoke_key(session: Session, key_id: str, by: str, now_ms: int) -> dict[str, Any]:
    """Revokes it, for good; once revoked it stays as it is. Its view. Raises NotFound."""
    row = session.get(KeyRow, key_id)
    if row is None:
        raise NotFound("There is no key of that id. `tenzij key list` shows them.", param="id")
    if row.revoked_ms is None:
        row.revoked_ms, row.revoked_by = now_ms, by
        session.flush()
    return _view(row, _use_cases_of(session).get(row.id, []), now_ms)


def key_views(session: Session, now_ms: int) -> list[dict[str, Any]]:
    """All keys ever made, oldest first."""
    use_cases = _use_cases_of(session)
    rows = session.scalars(select(KeyRow).order_by(KeyRow.made_ms, KeyRow.id))
    return [_view(row, use_cases.get(row.id, []), now_ms) for row in rows]


def key_records(session: Session, now_ms: int) -> tuple[KeyRecord, ...]:
    """What the gateway's ring is made of, by id."""
    use_cases = _use_cases_of(session)
    forgotten_ms = now_ms - REMEMBERED_MS
    rows = session.scalars(
        select(KeyRow)
        .where(KeyRow.expires_ms > forgotten_ms)
        .where(or_(KeyRow.revoked_ms.is_(None), KeyRow.revoked_ms > forgotten_ms))
        .order_by(KeyRow.id)
    )
    return tuple(
        KeyRecord(
            id=KeyId(row.id),
            digest=row.digest,
            owner=row.owner,
            use_cases=tuple(UseCaseId(each) for each in use_cases.get(row.id, [])),
            expires_ms=row.expires_ms,
            loopback_only=row.loopback_only,
            revoked=row.revoked_ms is not None,
        )
        for row in rows
    )


def _verify_name(session: Session, name: str, now_ms: int) -> None:
    if not 1 <= len(name) <= NAME_CHARS or not name.isprintable() or name != name.strip():
        raise BadCall(
            f"A key's name is 1 to {NAME_CHARS} printable characters, without spaces around it.", param="name"
        )
    live = select(KeyRow).where(KeyRow.revoked_ms.is_(None), KeyRow.expires_ms > now_ms)
    if session.scalars(live.where(KeyRow.name == name)).first() is not None:
        raise NameTaken("A live key has this name. Choose another, or revoke that key first.", param="name")
    if (session.scalar(select(func.count()).select_from(live.subquery())) or 0) >= MAX_LIVE_KEYS:
        raise TooMany(f"There are {MAX_LIVE_KEYS} live keys, which is the most there can be. Revoke some first.")


def _verify_use_cases(session: Session, use_cases: list[str]) -> None:
    if not 1 <= len(use_cases) <= MAX_USE_CASES or len(set(use_cases)) != len(use_cases):
        raise BadCall(f"Name 1 to {MAX_USE_CASES} use cases, and each only once.", param="use_cases")
    known = set(session.scalars(select(UseCaseRow.id).where(UseCaseRow.id.in_(use_cases))))
    if known != set(use_cases):
        there = ", ".join(session.scalars(select(UseCaseRow.id).order_by(UseCaseRow.id)))
        raise NotFound(f"Not all of these use cases exist. There are: {there}.", param="use_cases")


def _use_cases_of(session: Session) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in session.scalars(select(KeyUseCaseRow).order_by(KeyUseCaseRow.key, KeyUseCaseRow.place)):
        found.setdefault(row.key, []).append(row.use_case)
    return found


def _view(row: KeyRow, use_cases: list[str], now_ms: int) -> dict[str, Any]:
    state = "revoked" if row.revoked_ms is not None else "expired" if now_ms >= row.expires_ms else "active"
    return {
        "id": row.id,
        "name": row.name,
        "owner": row.owner,
        "use_cases": list(use_cases),
        "made_ms": row.made_ms,
        "expires_ms": row.expires_ms,
        "loopback_only": row.loopback_only,
        "revoked_ms": row.revoked_ms,
        "state": state,
    }
