"""An age in, the conversations that are older out of the store."""

import asyncio
import contextlib
from datetime import timedelta

from sqlalchemy import Connection, delete, select

from convmodel.serving.store import idempotency
from convmodel.serving.store.errors import Unavailable
from convmodel.serving.store.records import now
from convmodel.serving.store.store import Store
from convmodel.serving.store.tables import CONVERSATIONS

AT_ONCE = 200
"""Conversations that are deleted in one transaction: others need not wait long."""

ANSWERS_KEPT = timedelta(days=1)
"""How long an answer is kept under the idempotency key of its request."""


async def purge(store: Store, older_than: timedelta) -> int:
    """Deletes the conversations in which nothing has changed for a time.

    Args:
        store: from which.
        older_than: that time.

    Returns:
        How many are gone.

    Raises:
        Unavailable: when the store cannot be used; what was deleted so far is.
    """
    before = now() - _microseconds(older_than)
    gone = 0
    while count := await store.writing(_delete_some, before):
        gone += count
    if gone:
        await store.cleaning(whole=True)
    return gone


async def keep_purging(store: Store, older_than: timedelta | None, *, every: timedelta = timedelta(hours=1)) -> None:
    """Purges now and then, and forgets old answers, until it is cancelled; the app starts it as a task.

    Args:
        store: from which.
        older_than: see `purge`; None keeps conversations for ever.
        every: how often.
    """
    whole = False  # at the start nobody is kept waiting
    while True:
        with contextlib.suppress(Unavailable):  # the next time, then
            await store.writing(idempotency.forget, before=now() - _microseconds(ANSWERS_KEPT))
            if older_than is not None:
                await purge(store, older_than)
            if store.unclean:
                await store.cleaning(whole=whole)
        whole = True
        await asyncio.sleep(every.total_seconds())


def _delete_some(connection: Connection, before: int) -> int:
    old = select(CONVERSATIONS.c.id).where(CONVERSATIONS.c.updated < before).limit(AT_ONCE)
    return connection.execute(delete(CONVERSATIONS).where(CONVERSATIONS.c.id.in_(old))).rowcount


def _microseconds(time: timedelta) -> int:
    return time // timedelta(microseconds=1)
