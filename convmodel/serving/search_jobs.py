"""Search candidates as jobs, and check contexts and candidates against the policy."""

from collections.abc import Iterator, Sequence

from convmodel.responders.protocol import Candidate, CandidateSearch, Reply
from convmodel.serving.jobs import JobRunner, RejectedBeforeStart
from convmodel.serving.safety.policy import Policy


class _CompletedSearch:
    """Handle of a search, which is over when it has started: it has no pieces, and nothing to cancel."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = candidates

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def cancel(self) -> None:
        """Do nothing."""

    def result(self) -> Sequence[Candidate]:
        """Return the candidates."""
        return self._candidates


class SearchService:
    """Searches candidates as jobs.

    Args:
        searcher: searches the candidates.
        jobs: runs the searches.
        policy: checks contexts and candidates; None allows everything.
    """

    def __init__(self, searcher: CandidateSearch, *, jobs: JobRunner, policy: Policy | None = None) -> None:
        self._searcher = searcher
        self._jobs = jobs
        self._policy = policy

    async def search(self, context: Sequence[str], k: int, *, owner: str) -> Sequence[Candidate]:
        """Return the `k` best candidates, without those that the policy blocks; none if it blocks the context.

        Raises:
            APIError: see `ReplyService.start` and `AsyncJob.result`.
        """

        def start() -> _CompletedSearch:
            if self._policy is not None and self._policy.check_input(context) is not None:
                raise RejectedBeforeStart(())
            return _CompletedSearch(self._allowed(self._searcher.search(context, k=k)))

        self._jobs.acquire(1, owner=owner)
        job = await self._jobs.start(start, tuple, owner=owner, pieces=False)
        return await job.result()

    def _allowed(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        if self._policy is None or not candidates:
            return candidates
        reply, _ = self._policy.pick(Reply(tuple(candidates)))
        return () if reply is None else reply.candidates
