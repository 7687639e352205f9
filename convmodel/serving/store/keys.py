"""A name in, a key out that is shown once; only its hash is kept."""

import hashlib
import re
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from convmodel.serving.store.errors import KeyAlreadyUsed
from convmodel.serving.store.records import now
from convmodel.serving.store.tables import KEYS

BEGINNING = "cm-"
"""How keys begin, so that a person, and a search for leaked secrets, knows one."""

LOCAL = "local"
"""Who asks where no keys are needed; no key is of that name."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class Key:
    """A key that was made: whose it is, and when, in microseconds since 1970."""

    name: str
    created: int


def new_key() -> str:
    """A key of 256 random bits."""
    return BEGINNING + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """What is kept of a key. With so many random bits a plain SHA-256 cannot be guessed back."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def add(connection: Connection, name: str) -> str:
    """Makes a key, and returns it; it cannot be shown again.

    Args:
        connection: in a transaction.
        name: whose it is. Conversations belong to the name: a new key of the same name sees the same ones.

    Raises:
        ValueError: for a name that cannot be used.
        Taken: when there is a key of that name.
    """
    if not _NAME.fullmatch(name) or name == LOCAL:
        raise ValueError(
            f"{name!r} cannot be the name of a key; use up to 64 letters, digits and . _ @ - (and not {LOCAL!r})"
        )
    if connection.execute(select(KEYS.c.name).where(KEYS.c.name == name)).one_or_none():
        raise KeyAlreadyUsed(f"there is a key named {name!r} already; remove it first, or take another name")
    key = new_key()
    connection.execute(insert(KEYS).values(name=name, digest=digest(key), created=now()))
    return key


def listing(connection: Connection) -> list[Key]:
    """The keys there are, by name."""
    return [Key(row.name, row.created) for row in connection.execute(select(KEYS).order_by(KEYS.c.name))]


def remove(connection: Connection, name: str) -> bool:
    """Takes a key back; False where there was none. Its conversations stay."""
    return bool(connection.execute(delete(KEYS).where(KEYS.c.name == name)).rowcount)


def digests(connection: Connection) -> dict[str, str]:
    """The SHA-256 of each key with its name: what tells who asks."""
    return {row.digest: row.name for row in connection.execute(select(KEYS))}
