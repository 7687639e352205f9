"""Construction and lifespan of the conversation services of an application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from convmodel.serving.conversations.service import Conversations
from convmodel.serving.conversations.turns import TurnService
from convmodel.serving.service import Service
from convmodel.serving.store.retention import keep_purging


@dataclass(frozen=True)
class ConversationServices:
    """The services behind the routes of `convmodel.serving.conversations.routes`.

    Args:
        conversations: conversations and their settings.
        turns: generation of replies.
        keep_for: age without a change after which a conversation is deleted; None keeps conversations for ever.
    """

    conversations: Conversations
    turns: TurnService
    keep_for: timedelta | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Delete expired conversations periodically; at shutdown, stop the replies in progress and store them."""
        purging = asyncio.create_task(keep_purging(self.conversations.store, self.keep_for))
        try:
            yield
        finally:
            purging.cancel()
            await asyncio.gather(purging, return_exceptions=True)
            await self.conversations.end()


def open_conversations(service: Service) -> ConversationServices | None:
    """Return the conversation services on the service's store; None if the service has no store."""
    if service.store is None:
        return None
    conversations = Conversations(service.store, service)
    return ConversationServices(conversations, TurnService(conversations), service.keep_for)
