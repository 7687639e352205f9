"""What must outlive the server: conversations and keys, in SQLite or PostgreSQL; a change is whole or not at all."""

from convmodel.serving.store.errors import Conflict, Missing, StoreError, Taken, Unavailable
from convmodel.serving.store.records import About, Listed, Speaker, Stored, Turn, Whole
from convmodel.serving.store.retention import keep_purging, purge
from convmodel.serving.store.store import Store

__all__ = [
    "About",
    "Conflict",
    "Listed",
    "Missing",
    "Speaker",
    "Store",
    "StoreError",
    "Stored",
    "Taken",
    "Turn",
    "Unavailable",
    "Whole",
    "keep_purging",
    "purge",
]
