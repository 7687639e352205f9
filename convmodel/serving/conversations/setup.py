"""A store and a service in, conversations that the service's application answers for out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, text

from convmodel.serving.conversations.service import Conversations
from convmodel.serving.conversations.turns import TurnService
from convmodel.serving.service import Service
from convmodel.serving.store import Store, keep_purging


@dataclass(frozen=True)
class ConversationServices:
    """What stands in `Service.conversations`.

    Args:
        conversations: without the replies that are made in them.
        talking: those replies.
        keep_for: after which time without a change a conversation is deleted; None is never.
    """

    conversations: Conversations
    talking: TurnService
    keep_for: timedelta | None = None

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Deletes what is old, now and then; in the end stops the replies that are being made, and stores them."""
        purging = asyncio.create_task(keep_purging(self.conversations.store, self.keep_for))
        try:
            yield
        finally:
            purging.cancel()
            await asyncio.gather(purging, return_exceptions=True)
            await self.conversations.end()


def keep_conversations(service: Service, store: Store, *, keep_for: timedelta | None = None) -> None:
    """Has a service keep conversations. The service closes the store when it is closed.

    Args:
        service: whose application has the router of `convmodel.serving.conversations.routes`.
        store: keeps them.
        keep_for: after which time without a change a conversation is deleted; None is never.
    """
    conversations = Conversations(store, service)
    service.conversations = ConversationServices(conversations, TurnService(conversations), keep_for)
    service.ready = {**service.ready, "store": lambda: store.read(_answers)}
    service.closing.append(store.close)


def _answers(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))
