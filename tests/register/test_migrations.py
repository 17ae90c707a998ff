"""The schema's history ends in the tables that the code uses."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tenzij.register.database import open_database
from tenzij.register.tables import Table


def test_the_revisions_make_exactly_the_tables(tmp_path: Path) -> None:
    engine = open_database(tmp_path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    engine.dispose()


def test_a_current_database_is_left_alone(tmp_path: Path) -> None:
    open_database(tmp_path).dispose()
    before = (tmp_path / "register.sqlite3").read_bytes()
    open_database(tmp_path).dispose()
    assert (tmp_path / "register.sqlite3").read_bytes() == before
