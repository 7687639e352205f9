"""Export of stored conversations as JSON Lines for training."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from convmodel.data.json_text import encode_json
from convmodel.serving.conversations.service import Conversations
from convmodel.serving.errors import APIError
from convmodel.serving.store.records import ConversationRecord

EXPORT_BATCH = 50
"""Number of conversations that `export_all` reads from the store concurrently."""


async def export_all(conversations: Conversations, owner: str) -> AsyncIterator[bytes]:
    """Yield an owner's conversations as lines of JSON, newest first, up to `EXPORT_BATCH` lines at a time.

    Raises:
        APIError: 503 if the store is not available.
    """

    async def line(id: str) -> bytes:
        try:
            return encode_line(await conversations.load(owner, id, replies=False))
        except APIError as error:
            if error.status == 404:  # deleted after the page was listed
                return b""
            raise

    before: str | None = None
    while True:
        page, before = await conversations.listing(owner, limit=EXPORT_BATCH, before=before)
        yield b"".join(await asyncio.gather(*(line(summary.id) for summary in page)))
        if before is None:
            return


def encode_line(conversation: ConversationRecord) -> bytes:
    """Encode a conversation as one line of JSON; return b"" if it has no complete exchange.

    Blocked exchanges are left out, and so is a last user turn without a reply. In training data, a persona describes
    the last speaker; with the user as the last speaker, a model would learn the persona as the user's.
    """
    turns = [turn.text for turn in conversation.turns if not turn.blocked]
    turns = turns[: len(turns) - len(turns) % 2]
    if not turns:
        return b""
    value: dict[str, Any] = {"turns": turns}
    if conversation.about.persona:
        value["persona"] = list(conversation.about.persona)
    if conversation.about.meta is not None:
        value["meta"] = dict(conversation.about.meta)
    return encode_json(value).encode() + b"\n"
