"""Opens the register's database in its folder: one SQLite file, held by one process, its schema brought up to date.

Rules
- The file is made with mode 0600 before SQLite opens it; the files beside it take that mode over.
- One connection, used by one thread, which holds the file alone (`locking_mode=EXCLUSIVE`): no second register.
- What is committed is on disk (`synchronous=FULL`), and what is deleted is overwritten (`secure_delete`).
- A transaction begins when we say so, for writing at once; so a migration is whole or not at all.
- Whatever is wrong with the file ends the start with a sentence; SQL and stored values are never in it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from tenzij.register.refusals import RegisterFailed, StorageFailed

FILE = "register.sqlite3"
BUSY_TIMEOUT_S = 2.0
PRAGMAS = (
    "locking_mode=EXCLUSIVE",  # before WAL, so that no shared-memory file is needed
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "temp_store=MEMORY",
    "trusted_schema=OFF",
)


def open_database(folder: Path) -> Engine:
    """The database in `folder`, made if it is not there, with the current schema.

    Use it and dispose of it in the thread that opened it. Raises RegisterFailed.
    """
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(folder / FILE)),
        poolclass=StaticPool,
        connect_args={"timeout": BUSY_TIMEOUT_S},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    with ExitStack() as undo:
        undo.callback(engine.dispose)
        try:
            _make_file(folder / FILE)
            _verify_whole(engine)
            _migrate(engine)
        except (DatabaseError, sqlite3.Error, OSError, CommandError) as error:
            raise _failure(error) from None
        undo.pop_all()
    return engine


@contextmanager
def storing() -> Iterator[None]:
    """Turns the database's errors into StorageFailed, without the SQL that they quote."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StorageFailed(
            f"The register could not use its database ({type(error).__name__}); nothing was changed. Look whether its "
            "disk is full or failing."
        ) from None


def _make_file(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    if path.stat().st_mode & 0o077:
        raise RegisterFailed(
            "database_exposed",
            f"Others on this machine may read the register's database. Take that away (chmod 600 {FILE}) and find out "
            "who could.",
            final=True,
        )


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # Python begins no transactions of its own: see `_begin`
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _verify_whole(engine: Engine) -> None:
    with engine.connect() as connection:
        verdict: Any = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if verdict != "ok":
        raise _damaged()


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _failure(error: Exception) -> RegisterFailed:
    if isinstance(error, CommandError):
        return RegisterFailed(
            "database_newer",
            "The register's database was made by another release than this one. Run the release that made it, or a "
            "newer one.",
            final=True,
        )
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged()
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RegisterFailed(
            "register_in_use", "Another process holds the register's database. Stop that one first.", final=False
        )
    name = getattr(cause, "sqlite_errorname", type(cause).__name__)
    return RegisterFailed(
        "database_unusable",
        f"The register's database cannot be used ({name}). Look whether its disk is full, read-only or failing.",
        final=False,
    )


def _damaged() -> RegisterFailed:
    return RegisterFailed(
        "database_damaged",
        f"The register's database ({FILE}) is damaged. Put the last good copy of the whole register folder back.",
        final=True,
    )
