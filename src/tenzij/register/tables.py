"""The register's tables. `migrations` makes them; a test holds the two to each other.

Rules
- What the log refers to is never overwritten: use cases and models have versions with validity (`from_ms`, `until_ms`;
  none for the one in force), policy versions are kept for ever, a key's row only gains `revoked_ms`.
- Times are milliseconds since 1970, UTC. Classes and kinds are stored by their codes.
- A key is never here, only its digest.
- Types are those that SQLite and PostgreSQL share.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, ForeignKey, Integer, LargeBinary, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        int: BigInteger(),
        bytes: LargeBinary(),
        list[str]: JSON(),
    }


class SettingRow(Table):
    """What the installation knows of itself; written once, at the first start."""

    __tablename__ = "setting"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str]


class UseCaseRow(Table):
    """A use case's id, for others to refer to."""

    __tablename__ = "use_case"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    made_ms: Mapped[int]


class UseCaseVersionRow(Table):
    """What a use case was from `from_ms` until `until_ms`."""

    __tablename__ = "use_case_version"

    use_case: Mapped[str] = mapped_column(ForeignKey("use_case.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    from_ms: Mapped[int]
    until_ms: Mapped[int | None]
    by: Mapped[str]
    active: Mapped[bool]
    floor: Mapped[str | None]
    ceiling: Mapped[str]
    personal_data: Mapped[list[str]]
    refuse_findings: Mapped[bool]
    every_model: Mapped[bool]  # all admitted models, also those to come; else only `models`
    models: Mapped[list[str]]  # in order of preference


class ModelRow(Table):
    """A model's id, for others to refer to."""

    __tablename__ = "model"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    made_ms: Mapped[int]


class ModelVersionRow(Table):
    """A model's passport and place from `from_ms` until `until_ms`; withdrawn when the last version has ended."""

    __tablename__ = "model_version"

    model: Mapped[str] = mapped_column(ForeignKey("model.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    from_ms: Mapped[int]
    until_ms: Mapped[int | None]
    admitted_ms: Mapped[int]  # when the model was taken in; a new passport does not change it
    by: Mapped[str]
    location: Mapped[str]
    weights: Mapped[str] = mapped_column(String(64))
    passport: Mapped[str]  # canonical JSON


class KeyRow(Table):
    """An API key, by its digest."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    name: Mapped[str]
    owner: Mapped[str]
    by: Mapped[str]
    made_ms: Mapped[int]
    expires_ms: Mapped[int]
    loopback_only: Mapped[bool]
    revoked_ms: Mapped[int | None]
    revoked_by: Mapped[str | None]


class KeyUseCaseRow(Table):
    """Which use cases a key is for."""

    __tablename__ = "api_key_use_case"

    key: Mapped[str] = mapped_column(ForeignKey("api_key.id"), primary_key=True)
    use_case: Mapped[str] = mapped_column(ForeignKey("use_case.id"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer)  # the order in which they were given


class PolicyVersionRow(Table):
    """A signed policy version, byte for byte."""

    __tablename__ = "policy_version"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    made_ms: Mapped[int]
    content: Mapped[bytes]
    signature: Mapped[bytes]
    public_key: Mapped[bytes]
