"""Embedding and ranking of texts as jobs; the policy checks the texts first."""

from collections.abc import Callable, Sequence
from functools import partial

from convmodel.responders.protocol import ReplyHandle
from convmodel.responders.text_selector import TextScores, TextSelector, TextValues, TextVectors, ValueT
from convmodel.serving.errors import APIError
from convmodel.serving.jobs import JobRunner
from convmodel.serving.metrics import Metrics
from convmodel.serving.safety.policy import Policy
from convmodel.serving.thread_bridge import AsyncJob


class SelectorService:
    """Starts embeddings and rankings as jobs, and counts their tokens; the policy checks all texts as inputs."""

    def __init__(self, selector: TextSelector, jobs: JobRunner, metrics: Metrics, policy: Policy | None) -> None:
        self.selector = selector
        self._jobs = jobs
        self._metrics = metrics
        self._policy = policy

    async def embed(
        self, texts: Sequence[str], *, queries: bool, owner: str, user: str | None = None
    ) -> AsyncJob[TextVectors]:
        """Start a job that encodes texts as vectors.

        Args:
            queries: whether to encode the texts as queries; otherwise as documents.
            owner: name of the API key.
            user: end user of the key, if the request names one.

        Raises:
            APIError: 400 for a text that the policy blocks; for others, see `JobRunner.start`.
        """
        return await self._start(texts, partial(self.selector.embed, texts, queries=queries), len(texts), owner, user)

    async def rank(self, query: str, documents: Sequence[str], *, owner: str) -> AsyncJob[TextScores]:
        """Start a job that scores each document as the reply to a query; see `embed` for the errors."""
        start = partial(self.selector.rank, query, documents)
        return await self._start([query, *documents], start, len(documents), owner, None)

    async def _start(
        self,
        texts: Sequence[str],
        start: Callable[[], ReplyHandle[TextValues[ValueT]]],
        count: int,
        owner: str,
        user: str | None,
    ) -> AsyncJob[TextValues[ValueT]]:
        """Start a job whose result has `count` values, after a check of all `texts`."""
        starts = [partial(self._check_and_start, texts, start)]
        [job] = await self._jobs.start(starts, partial(self._finish, count), owner=owner, user=user, pieces=False)
        return job

    # Called in the worker threads

    def _check_and_start(
        self, texts: Sequence[str], start: Callable[[], ReplyHandle[TextValues[ValueT]]]
    ) -> ReplyHandle[TextValues[ValueT]]:
        if self._policy is not None and self._policy.check_input(texts) is not None:
            raise APIError(400, "the policy of this server blocks a text; leave it out", code="content_filter")
        return start()

    def _finish(self, count: int, output: TextValues[ValueT]) -> TextValues[ValueT]:
        self._metrics.count_tokens(output.tokens, 0)
        if len(output.values) < count:
            raise APIError(503, "the request was cancelled before it was complete", code="cancelled")
        return output
