"""A context in, the candidates that reply to it best out, awaited; the policy sees them too."""

from collections.abc import Iterator, Sequence

from convmodel.responders.protocol import Candidate, CandidateSearch, Reply
from convmodel.serving.jobs import JobRunner, Made, RejectedBeforeStart
from convmodel.serving.safety.policy import Policy


class _ContextBlocked(RejectedBeforeStart):
    """Nothing is searched."""


class _Found:
    """A search that is over: there is nothing of it to wait for, nor to end."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = candidates

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def cancel(self) -> None:
        """It is over."""


class Search:
    """Has candidates searched.

    Args:
        searcher: searches them.
        makings: sees to the places.
        policy: what may be shown; None is everything.
    """

    def __init__(self, searcher: CandidateSearch, *, makings: JobRunner, policy: Policy | None = None) -> None:
        self._searcher, self._makings, self._policy = searcher, makings, policy

    async def find(self, context: Sequence[str], k: int, *, owner: str) -> Sequence[Candidate]:
        """The best `k`; none where the policy does not let the context in.

        Raises:
            Refusal: as `Replies.begin`, and `ReplyJob.answer`.
        """

        def search() -> _Found:
            if self._policy is not None and self._policy.check_input(context) is not None:
                raise _ContextBlocked()
            return _Found(self._shown(self._searcher.search(context, k=k)))

        self._makings.take(1, owner=owner)
        try:
            made: Made[Sequence[Candidate]] = await self._makings.begin(
                search, lambda found: found.candidates, owner=owner, pieces=False
            )
        except _ContextBlocked:
            return ()
        return await made.result()

    def _shown(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        if self._policy is None or not candidates:
            return candidates
        picked, _ = self._policy.pick(Reply(tuple(candidates)))
        return () if picked is None else picked.candidates
