"""Deletion of expired conversations and old idempotency records."""

import asyncio
import contextlib
from datetime import timedelta

from sqlalchemy import Connection, delete, select

from convmodel.serving.store import idempotency
from convmodel.serving.store.errors import Unavailable
from convmodel.serving.store.records import now
from convmodel.serving.store.store import Store
from convmodel.serving.store.tables import CONVERSATIONS

BATCH_SIZE = 200
"""Number of conversations deleted per transaction; small, so that other writers are not blocked for long."""

ANSWERS_KEPT = timedelta(days=1)
"""Age at which an idempotency record is deleted."""


async def purge(store: Store, older_than: timedelta) -> int:
    """Delete the conversations that have not changed for the time `older_than`, and return their number.

    Raises:
        Unavailable: if the store fails; batches deleted before the failure stay deleted.
    """
    before = _ago(older_than)
    deleted = 0
    while count := await store.awrite(_delete_batch, before):
        deleted += count
    if deleted:
        await store.clean(whole=True)
    return deleted


async def keep_purging(store: Store, older_than: timedelta | None, *, every: timedelta = timedelta(hours=1)) -> None:
    """Delete expired conversations and old idempotency records periodically, until cancelled.

    The web application runs this coroutine as a task. If the store fails, it tries again at the next interval.

    Args:
        older_than: time without changes after which a conversation is deleted; None keeps all conversations.
        every: time between two runs.
    """
    whole = False  # the first run must not delay requests at startup by rewriting a large file
    while True:
        with contextlib.suppress(Unavailable):  # try again at the next interval
            await store.awrite(idempotency.forget, before=_ago(ANSWERS_KEPT))
            if older_than is not None:
                await purge(store, older_than)
            if store.unclean:
                await store.clean(whole=whole)
        whole = True
        await asyncio.sleep(every.total_seconds())


def _delete_batch(connection: Connection, before: int) -> int:
    old = select(CONVERSATIONS.c.id).where(CONVERSATIONS.c.updated < before).limit(BATCH_SIZE)
    return connection.execute(delete(CONVERSATIONS).where(CONVERSATIONS.c.id.in_(old))).rowcount


def _ago(time: timedelta) -> int:
    return now() - time // timedelta(microseconds=1)
