"""Replies in progress; each is stored when it ends, even if the client has disconnected."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

from convmodel.serving.errors import APIError
from convmodel.serving.logs import log_defect
from convmodel.serving.reply_jobs import CheckedReply, stream_text
from convmodel.serving.thread_bridge import AsyncJob

logger = logging.getLogger(__name__)

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
        self.cancel: Callable[[], None] = (lambda: None) if job is None else job.cancel
        """Stops generating; the text generated so far is stored."""
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

    async def result(self) -> Json:
        """Wait until the reply is stored, and return the response body.

        Raises:
            APIError: 409 if the conversation was changed meanwhile; the errors of `AsyncJob.result` and of the store.
        """
        if self.task is None:
            assert self._answer is not None
            return self._answer
        return await asyncio.shield(self.task)


class RunningReplies(dict[str, PendingReply]):
    """The replies in progress by conversation id. Not thread-safe: use from one event loop."""

    def __init__(self, *, log_texts: bool) -> None:
        super().__init__()
        self._log_texts = log_texts
        self._tasks: set[asyncio.Task[Json]] = set()

    def run(self, id: str, pending: PendingReply, storing: Coroutine[Any, Any, Json]) -> None:
        """Add a reply, and run the coroutine that waits for it and stores it."""
        self[id] = pending
        pending.task = task = asyncio.get_running_loop().create_task(storing)
        self._tasks.add(task)

        def finish(_: object) -> None:
            self._tasks.discard(task)
            if self.get(id) is pending:
                del self[id]
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, APIError):
                log_defect(logger, error, texts=self._log_texts)

        task.add_done_callback(finish)

    def drop(self, id: str) -> None:
        """Stop the reply in progress in a conversation, if any, because its context has changed."""
        pending = self.pop(id, None)  # at once, so that the next turn need not wait for the end
        if pending is not None:
            pending.cancel()

    async def end(self) -> None:
        """Stop all replies, and wait until they are stored."""
        for pending in self.values():
            pending.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
