"""API keys: creation, listing and removal; only a hash of each key is stored."""

import hashlib
import re
import secrets

from sqlalchemy import Connection, delete, insert, select

from convmodel.serving.store.errors import KeyAlreadyUsed
from convmodel.serving.store.records import now
from convmodel.serving.store.tables import KEYS

PREFIX = "cm-"
"""Prefix of API keys, recognizable to people and to secret scanners."""

LOCAL = "local"
"""Owner of all requests to a server that requires no keys; no key can have this name."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def new_key() -> str:
    """Return a new API key with 256 random bits; it is not stored."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """Return the SHA-256 of a key. No salt or slow hash is needed: 256 random bits cannot be guessed."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def add(connection: Connection, name: str) -> str:
    """Create an API key and return it; only its digest is stored, so the key cannot be shown again.

    Conversations belong to the name of the key, not to the key itself: a later key with the same name can access them.

    Raises:
        ValueError: for an invalid name.
        KeyAlreadyUsed: if a key with this name exists.
    """
    if not _NAME.fullmatch(name) or name == LOCAL:
        raise ValueError(
            f"{name!r} cannot be the name of a key; use up to 64 letters, digits and . _ @ - (and not {LOCAL!r})"
        )
    if name in listing(connection):
        raise KeyAlreadyUsed(f"there is a key named {name!r} already; remove it first, or use another name")
    key = new_key()
    connection.execute(insert(KEYS).values(name=name, digest=digest(key), created=now()))
    return key


def listing(connection: Connection) -> dict[str, int]:
    """Return the creation times of all keys, in microseconds since 1970, by name in alphabetical order."""
    return {row.name: row.created for row in connection.execute(select(KEYS).order_by(KEYS.c.name))}


def remove(connection: Connection, name: str) -> bool:
    """Remove a key, but keep its conversations; return whether the key existed."""
    return bool(connection.execute(delete(KEYS).where(KEYS.c.name == name)).rowcount)


def digests(connection: Connection) -> dict[str, str]:
    """Return a mapping from the SHA-256 of each key to the name of the key."""
    return {row.digest: row.name for row in connection.execute(select(KEYS))}
