"""Persistent storage of conversations, API keys and idempotency records in SQLite or PostgreSQL."""

from convmodel.serving.store.errors import Conflict, KeyAlreadyUsed, Missing, StoreError, Unavailable
from convmodel.serving.store.records import (
    ConversationHeader,
    ConversationRecord,
    ConversationSettings,
    ConversationSummary,
    Speaker,
    Turn,
)
from convmodel.serving.store.retention import keep_purging, purge
from convmodel.serving.store.store import Store

__all__ = [
    "Conflict",
    "ConversationHeader",
    "ConversationRecord",
    "ConversationSettings",
    "ConversationSummary",
    "KeyAlreadyUsed",
    "Missing",
    "Speaker",
    "Store",
    "StoreError",
    "Turn",
    "Unavailable",
    "keep_purging",
    "purge",
]
