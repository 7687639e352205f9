"""Start replies as jobs, and check their input and output against the policy."""

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from convmodel.responders.protocol import Candidate, CandidateSearch, Reply, ReplyHandle, Responder, Session
from convmodel.serving.jobs import JobRunner, RejectedBeforeStart
from convmodel.serving.metrics import Metrics
from convmodel.serving.safety.policy import BlockReason, Policy
from convmodel.serving.thread_bridge import AsyncJob

SEEDS = 2**31
"""Drawn seeds are below this: short enough to be read out and sent again."""


@dataclass(frozen=True)
class ReplyRequest:
    """A request for one reply, with the merged options; a seed of None draws one."""

    context: Sequence[str]
    persona: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    unchecked: int | None = None
    """Number of last turns that no policy has checked yet; None means all turns."""


@dataclass(frozen=True)
class CheckedReply:
    """A reply with the candidates that the policy lets pass, or a reply whose only candidate is its replacement."""

    reply: Reply
    blocked: BlockReason | None = None
    """The reason for the replacement, if there is one."""
    withheld: str | None = None
    """The text of a blocked reply, which must not be shown."""

    @property
    def text(self) -> str:
        return self.reply.text

    @property
    def finish(self) -> str:
        """The reason why the reply ended: that of the reply, or "filtered"."""
        return self.reply.finish if self.blocked is None else "filtered"


async def stream_text(job: AsyncJob[CheckedReply]) -> AsyncIterator[str]:
    """Yield the text of a reply in pieces, once. Joined, the pieces are the text.

    A reply without pieces (blocked, or checked as a whole) comes as one piece. Raises the errors of `job.result`.
    """
    empty = True
    async for piece in job:
        empty = False
        yield piece
    if empty and (text := (await job.result()).text):
        yield text


class ReplyService:
    """Starts replies, and searches of candidates, as jobs, counts them, and checks their input and output."""

    def __init__(self, responder: Responder, jobs: JobRunner, metrics: Metrics, policy: Policy | None) -> None:
        self.responder = responder
        self._jobs = jobs
        self._metrics = metrics
        self._policy = policy

    async def start(
        self,
        requests: Sequence[ReplyRequest],
        *,
        owner: str,
        user: str | None = None,
        session: Session | None = None,
        pieces: bool = True,
    ) -> list[AsyncJob[CheckedReply]]:
        """Start replies, all or none. A request that the policy blocks gives a job that is already completed.

        Args:
            requests: the requests, one for each reply.
            session: the conversation's session, if there is one.
            owner, user, pieces: see `JobRunner.start`.

        Raises:
            APIError: 400 for turns or options that are not supported; and see `JobRunner.start`.
        """
        starts = [partial(self._start, request, session) for request in requests]
        pieces = pieces and (self._policy is None or not self._policy.checks_output)
        return await self._jobs.start(starts, self._count_and_check, owner=owner, user=user, pieces=pieces)

    async def search(self, context: Sequence[str], k: int, *, owner: str) -> Sequence[Candidate]:
        """Return the `k` best candidates, without those that the policy blocks; none if it blocks the context.

        Raises:
            APIError: see `start` and `AsyncJob.result`.
        """
        starts = [partial(self._search, context, k)]
        [job] = await self._jobs.start(starts, tuple[Candidate, ...], owner=owner, pieces=False)
        return await job.result()

    # Called in the worker threads

    def _start(self, request: ReplyRequest, session: Session | None) -> ReplyHandle[Reply]:
        if self._policy is not None and self._policy.checks_input:
            first = 0 if request.unchecked is None else len(request.context) - request.unchecked
            blocked = self._policy.check_input([*request.persona, *request.context[first:]])
            if blocked is not None:
                raise RejectedBeforeStart(CheckedReply(Reply((Candidate(self._policy.say),)), blocked))
        return self.responder.start(
            request.context,
            persona=request.persona,
            options=request.options,
            seed=secrets.randbelow(SEEDS) if request.seed is None else request.seed,
            session=session,
        )

    def _count_and_check(self, reply: Reply) -> CheckedReply:
        """Count a reply, and keep the candidates that the policy allows; the first of them is the reply."""
        self._metrics.count_reply(reply)
        if self._policy is None or not self._policy.checks_output:
            return CheckedReply(reply)
        allowed, blocked = self._policy.pick(reply)
        if allowed is not None:
            return CheckedReply(allowed)
        replacement = replace(reply, candidates=(Candidate(self._policy.say),), ranked_by="")
        return CheckedReply(replacement, blocked, withheld=reply.text)

    def _search(self, context: Sequence[str], k: int) -> "_CompletedSearch":
        assert isinstance(self.responder, CandidateSearch)
        if self._policy is not None and self._policy.check_input(context) is not None:
            raise RejectedBeforeStart(())
        candidates = self.responder.search(context, k=k)
        if self._policy is not None and candidates:
            allowed, _ = self._policy.pick(Reply(tuple(candidates)))
            candidates = () if allowed is None else allowed.candidates
        return _CompletedSearch(candidates)


class _CompletedSearch:
    """Handle of a search, which is over when it has started: it has no pieces, and nothing to cancel."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.result = lambda: candidates
        self.cancel = lambda: None

    def __iter__(self) -> Iterator[str]:
        return iter(())
