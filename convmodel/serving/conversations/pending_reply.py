"""A reply in progress; it is stored when it ends, even if the client has disconnected."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from convmodel.serving.reply_jobs import CheckedReply, stream_text
from convmodel.serving.thread_bridge import AsyncJob

Json = Mapping[str, Any]


class PendingReply:
    """A stored user turn and the reply to it.

    Args:
        said: the stored user turn as JSON, with the conversation's version after storing it; None if this request
            stored no turn.
        job: the job that generates the reply; None if the answer is known already.
        answer: the response body; given if there is no job.
    """

    def __init__(
        self, said: Json | None = None, *, job: AsyncJob[CheckedReply] | None = None, answer: Json | None = None
    ) -> None:
        self.said = said
        self.task: asyncio.Task[Json] | None = None
        self._job = job
        self._answer = answer

    async def pieces(self) -> AsyncIterator[str]:
        """Yield the pieces of the reply's text; can be iterated once. Raises the errors of `AsyncJob.result`."""
        if self._job is None:
            assert self._answer is not None
            if text := self._answer["reply"]["text"]:
                yield text
            return
        async for piece in stream_text(self._job):
            yield piece

    async def answer(self) -> Json:
        """Wait until the reply is stored, and return the response body.

        Raises:
            APIError: 409 if the conversation was changed meanwhile; the errors of `AsyncJob.result` and of the store.
        """
        if self.task is None:
            assert self._answer is not None
            return self._answer
        return await asyncio.shield(self.task)

    def stop(self) -> None:
        """Stop generating; the text generated so far is stored."""
        if self._job is not None:
            self._job.cancel()
