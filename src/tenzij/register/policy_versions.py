"""Policy versions on file: compiled, signed, kept for ever, each under its hash.

Rules
- A new version is made only when something that decides has changed: the newest one, compiled anew with its own time,
  must then give other bytes.
- Each version's time is later than that of the one before it, also when the clock went back.
- What is on file is verified before it is handed out.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tenzij.policy.signature import BadSignature, signature_of, verify_signature
from tenzij.policy.snapshot_json import hash_of
from tenzij.register.compile import policy_bytes
from tenzij.register.models import current_models
from tenzij.register.refusals import RegisterFailed
from tenzij.register.secret_files import Secrets
from tenzij.register.tables import PolicyVersionRow
from tenzij.register.use_cases import current_use_cases
from tenzij.types import Sha256


@dataclass(frozen=True, slots=True)
class SignedVersion:
    """One policy version, byte for byte, with its signature."""

    content: bytes
    signature: bytes

    @property
    def hash(self) -> Sha256:
        """Its name."""
        return hash_of(self.content)


def published(session: Session, secrets: Secrets, now_ms: int) -> SignedVersion:
    """The version that what is on file makes: the newest one, or a new one put beside it.

    Raises RegisterFailed when the newest one on file is not as it was signed.
    """
    use_cases, models = current_use_cases(session), current_models(session)
    newest = session.scalars(select(PolicyVersionRow).order_by(PolicyVersionRow.number.desc()).limit(1)).first()
    made_ms = now_ms
    if newest is not None:
        _verify(newest)
        if (
            newest.public_key == secrets.public_key
            and policy_bytes(use_cases, models, newest.made_ms) == newest.content
        ):
            return SignedVersion(newest.content, newest.signature)
        made_ms = max(now_ms, newest.made_ms + 1)
    content = policy_bytes(use_cases, models, made_ms)
    version = SignedVersion(content, signature_of(content, secrets.signing_key))
    session.add(
        PolicyVersionRow(
            hash=version.hash,
            made_ms=made_ms,
            content=version.content,
            signature=version.signature,
            public_key=secrets.public_key,
        )
    )
    return version


def _verify(row: PolicyVersionRow) -> None:
    try:
        verify_signature(row.content, row.signature, row.public_key)
        is_whole = hash_of(row.content) == row.hash
    except BadSignature:
        is_whole = False
    if not is_whole:
        raise RegisterFailed(
            "policy_version_damaged",
            "The newest policy version on file is not as it was signed. Find out who changed the database, and put the "
            "last good copy of the whole register folder back.",
            final=True,
        )
