"""What must outlive the server: conversations and keys, in SQLite or PostgreSQL; a change is whole or not at all."""

from .errors import Conflict, Missing, StoreError, Taken, Unavailable
from .retention import keep_purging, purge
from .rows import About, Listed, Speaker, Stored, Turn, Whole
from .store import Store

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
