"""Run by Alembic: brings the connection that `database` hands over to the wanted revision, in its transaction.

To write a new revision: `alembic revision` needs a configuration file; copy the newest file in `versions` instead. A
test tells whether tables and revisions agree.
"""

from __future__ import annotations

from alembic import context

from tenzij.register.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
