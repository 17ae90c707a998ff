"""The first tables: use cases, models, keys, policy versions, settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NEVER_CHANGED = ("policy_version", "setting")
NEVER_DELETED = ("policy_version", "setting", "api_key", "use_case_version", "model_version")


def upgrade() -> None:
    """Makes everything."""
    op.create_table(
        "setting",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_setting"),
    )
    for owner in ("use_case", "model"):
        op.create_table(
            owner,
            sa.Column("id", sa.String(64), nullable=False),
            sa.Column("made_ms", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("id", name=f"pk_{owner}"),
        )
    op.create_table(
        "use_case_version",
        sa.Column("use_case", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("floor", sa.Text(), nullable=True),
        sa.Column("ceiling", sa.Text(), nullable=False),
        sa.Column("personal_data", sa.JSON(), nullable=False),
        sa.Column("refuse_findings", sa.Boolean(), nullable=False),
        sa.Column("every_model", sa.Boolean(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("use_case", "version", name="pk_use_case_version"),
        sa.ForeignKeyConstraint(["use_case"], ["use_case.id"], name="fk_use_case_version_use_case_use_case"),
    )
    op.create_table(
        "model_version",
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.Column("admitted_ms", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("weights", sa.String(64), nullable=False),
        sa.Column("passport", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", "version", name="pk_model_version"),
        sa.ForeignKeyConstraint(["model"], ["model.id"], name="fk_model_version_model_model"),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("loopback_only", sa.Boolean(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("digest", name="uq_api_key_digest"),
    )
    op.create_table(
        "api_key_use_case",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("use_case", sa.String(64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", "use_case", name="pk_api_key_use_case"),
        sa.ForeignKeyConstraint(["key"], ["api_key.id"], name="fk_api_key_use_case_key_api_key"),
        sa.ForeignKeyConstraint(["use_case"], ["use_case.id"], name="fk_api_key_use_case_use_case_use_case"),
    )
    op.create_table(
        "policy_version",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_policy_version"),
        sa.UniqueConstraint("hash", name="uq_policy_version_hash"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _keep_history()


def _keep_history() -> None:
    """Lets the database itself refuse to rewrite what the log refers to."""
    for table in NEVER_CHANGED:
        op.execute(
            f"CREATE TRIGGER {table}_never_changed BEFORE UPDATE ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'never changed'); END"
        )
    for table in NEVER_DELETED:
        op.execute(
            f"CREATE TRIGGER {table}_never_deleted BEFORE DELETE ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'never deleted'); END"
        )
