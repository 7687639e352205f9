"""Table definitions of the store, shared by SQLite and PostgreSQL."""

import json
from typing import Any

from sqlalchemy import Column, Dialect, ForeignKey, Index, MetaData, Table
from sqlalchemy.types import BigInteger, Boolean, Integer, String, Text, TypeDecorator

VERSION = 2
"""Version of the tables. Opening a store upgrades tables of an older version, and rejects tables of a newer one."""


class Json(TypeDecorator[Any]):
    """A column type for JSON values, serialized as text; None is NULL.

    Texts written by users or models are also stored as JSON strings, since a model may generate U+0000, which
    PostgreSQL's text type cannot contain.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Serialize a value for the database."""
        return None if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Deserialize a value from the database."""
        return None if value is None else json.loads(value)


METADATA = MetaData()

SCHEMA = Table("convmodel_schema", METADATA, Column("version", Integer, nullable=False))

KEYS = Table(
    "convmodel_keys",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
)
"""Names of the API keys and SHA-256 digests of the keys; the keys themselves are not stored."""

CONVERSATIONS = Table(
    "convmodel_conversations",
    METADATA,
    Column("id", String(22), primary_key=True),
    Column("owner", String(128), nullable=False),
    Column("title", Json),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("turns_version", BigInteger, nullable=False),
    Column("turn_count", Integer, nullable=False),
    Column("persona", Json, nullable=False),
    Column("model", Json),
    Column("preset", Json),
    Column("options", Json, nullable=False),
    Column("seed", BigInteger),
    Column("meta", Json),
    Index("convmodel_conversations_of_owner", "owner", "created", "id"),
    Index("convmodel_conversations_by_age", "updated"),
)
"""Conversations without their turns; times are microseconds since 1970, UTC."""

TURNS = Table(
    "convmodel_turns",
    METADATA,
    Column("conversation", String(22), ForeignKey(CONVERSATIONS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("speaker", String(5), nullable=False),
    Column("text", Json, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("reply", Json),
    Column("chosen", Integer, nullable=False),
    Column("blocked", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
"""Turns of the conversations, numbered from 1. Without rowid, SQLite stores a conversation's turns side by side."""

IDEMPOTENCY = Table(
    "convmodel_idempotency",
    METADATA,
    Column("owner", String(128), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("conversation", String(22), ForeignKey(CONVERSATIONS.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("created", BigInteger, nullable=False, index=True),
    Column("turns_version", BigInteger, nullable=False),
    Column("said", Json),
    Column("answer", Json),
)
"""Requests with an idempotency key, and their responses.

`key` and `request` are the SHA-256 of the client's idempotency key and of its request.
"""
