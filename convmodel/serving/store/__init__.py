"""Persistent storage of conversations, API keys and idempotency records in SQLite or PostgreSQL."""

from convmodel.serving.store.store import Store

__all__ = ["Store"]
