"""A reply that is being made in a conversation; it is stored in the end, whoever listens until then."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from convmodel.serving.reply_jobs import ReplyJob

Json = Mapping[str, Any]


class PendingReply:
    """What was said, and the reply to it.

    Args:
        said: the turn that was stored for it, as JSON, and the version then; None where the turn was there before.
        making: the reply; None when everything is there.
        answer: what is answered in the end, when it is there.
    """

    def __init__(self, said: Json | None = None, *, making: ReplyJob | None = None, answer: Json | None = None) -> None:
        self.said = said
        self.task: asyncio.Task[Json] | None = None
        self._making, self._answer = making, answer

    async def pieces(self) -> AsyncIterator[str]:
        """Pieces of the reply, once. Raises as `ReplyJob`."""
        if self._making is None:
            assert self._answer is not None
            if text := self._answer["reply"]["text"]:
                yield text
            return
        async for piece in self._making:
            yield piece

    async def answer(self) -> Json:
        """Waits until the reply is stored.

        Raises:
            Refusal: 409 when somebody changed the conversation meanwhile, and whatever `ReplyJob` and the store say.
        """
        if self.task is None:
            assert self._answer is not None
            return self._answer
        return await asyncio.shield(self.task)

    def stop(self) -> None:
        """Ends the reply; what was written so far is stored."""
        if self._making is not None:
            self._making.stop()
