"""The register itself: its folder, its database, its secrets, and what it publishes. Synchronous; one thread uses it.

A first start makes everything, in this order; each step may be the last one before a crash, and the next start goes on:
  1. the database file and its tables (the database knows no secrets yet: no `policy_key` setting);
  2. the secret files;
  3. in one transaction: the settings that name the secrets, the use case `verkenning`, the first policy version.

Rules
- Each change and the policy version that it makes are one transaction: neither is ever there without the other.
- After step 3 the secrets must be those that the settings name; secrets without a database are a lost database.
- What is published is immutable and replaced whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tenzij.channels.control import ModelSpec
from tenzij.identity.keys import KeyRecord
from tenzij.passport import BadPassport
from tenzij.policy.snapshot_json import BadSnapshot
from tenzij.register import secret_files
from tenzij.register.api_keys import key_records
from tenzij.register.database import FILE, open_database, storing
from tenzij.register.models import current_models, spec_of
from tenzij.register.policy_versions import SignedVersion, published
from tenzij.register.refusals import RegisterFailed, StorageFailed
from tenzij.register.secret_files import Secrets
from tenzij.register.tables import SettingRow
from tenzij.register.use_cases import EXPLORATION, add_use_case

POLICY_KEY = "policy_key"
PEPPER_CHECK = "pepper_check"
PLATFORM = "platform"  # who made what no person made


@dataclass(frozen=True, slots=True)
class Published:
    """What others may know, at one moment."""

    version: SignedVersion
    keys: tuple[KeyRecord, ...] = field(repr=False)
    models: tuple[ModelSpec, ...]


class Register:
    """Open it with `opened_register`, in the thread that will use it, and close it there."""

    def __init__(self, engine: Engine, secrets: Secrets, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self.secrets = secrets
        self.published = self._publish_first()

    def _publish_first(self) -> Published:
        with storing(), Session(self._engine) as session, session.begin():
            if session.get(SettingRow, POLICY_KEY) is None:
                session.add(SettingRow(name=POLICY_KEY, value=self.secrets.public_key.hex()))
                session.add(SettingRow(name=PEPPER_CHECK, value=self.secrets.pepper_check))
                add_use_case(session, EXPLORATION, PLATFORM, self._now_ms())
                session.flush()
            return self._published(session)

    def _published(self, session: Session) -> Published:
        now_ms = self._now_ms()
        return Published(
            version=published(session, self.secrets, now_ms),
            keys=key_records(session, now_ms),
            models=tuple(spec_of(model) for model in current_models(session)),
        )

    @contextmanager
    def reading(self) -> Iterator[tuple[Session, int]]:
        """A session to read in, and the time."""
        with storing(), Session(self._engine) as session, session.begin():
            yield session, self._now_ms()

    @contextmanager
    def changing(self) -> Iterator[tuple[Session, int]]:
        """A session to change in, and the time. At its end everything is stored, compiled and signed; or nothing is."""
        with storing(), Session(self._engine) as session:
            with session.begin():
                yield session, self._now_ms()
                session.flush()
                after = self._published(session)
            self.published = after

    def close(self) -> None:
        """Lets go of the database."""
        self._engine.dispose()


def opened_register(folder: Path, now_ms: Callable[[], int]) -> Register:
    """The register in `folder`, made at the first start. Raises RegisterFailed."""
    if not folder.is_dir():
        raise RegisterFailed("folder_missing", "The register's folder is not there.", final=True)
    if not (folder / FILE).exists() and secret_files.are_there(folder):
        raise RegisterFailed(
            "database_missing",
            f"The register's secrets are there but its database ({FILE}) is not. Put the last good copy of the whole "
            "register folder back. To begin anew, without any key or record, empty the folder.",
            final=True,
        )
    engine = open_database(folder)
    with ExitStack() as undo:
        undo.callback(engine.dispose)
        try:
            register = Register(engine, _secrets(folder, engine), now_ms)
        except (StorageFailed, BadPassport, BadSnapshot, KeyError, ValueError, TypeError) as error:
            raise RegisterFailed(
                "records_unreadable",
                f"What is on record in the register cannot be read ({type(error).__name__}). Put the last good copy of "
                "the whole register folder back.",
                final=True,
            ) from None
        undo.pop_all()
    return register


def _secrets(folder: Path, engine: Engine) -> Secrets:
    with storing(), Session(engine) as session:
        rows = {name: session.get(SettingRow, name) for name in (POLICY_KEY, PEPPER_CHECK)}
        known = {name: row.value for name, row in rows.items() if row is not None}
    if not known:
        return secret_files.made_secrets(folder)
    secrets = secret_files.secrets_in(folder)
    if known != {POLICY_KEY: secrets.public_key.hex(), PEPPER_CHECK: secrets.pepper_check}:
        raise RegisterFailed(
            "secret_foreign",
            "The register's secret files are not those that its database was made with: keys and signatures would not "
            "fit. Put the last good copy of the whole register folder back.",
            final=True,
        )
    return secrets
