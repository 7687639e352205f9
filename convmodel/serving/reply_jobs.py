"""Start replies as jobs, and check their input and output against the policy."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from convmodel.responders.protocol import Candidate, CandidateSearch, Reply, ReplyHandle, Responder, Session
from convmodel.serving.jobs import JobRunner, RejectedBeforeStart
from convmodel.serving.metrics import Metrics
from convmodel.serving.safety.policy import BlockReason, Policy
from convmodel.serving.thread_bridge import AsyncJob

CheckedTextT = TypeVar("CheckedTextT", bound="CheckedText")

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


class CheckedText(Protocol):
    """A checked reply or document."""

    @property
    def text(self) -> str:
        """The text, or its replacement."""

    @property
    def finish(self) -> str:
        """The reason why the text ended, or "filtered"."""


async def stream_text(job: AsyncJob[CheckedTextT]) -> AsyncIterator[str]:
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
        policy = self._policy
        starts = [self._new_start(request, session) for request in requests]
        convert = CheckedReply if policy is None or not policy.checks_output else partial(_check_output, policy)
        return await self._jobs.start(
            starts,
            convert,
            count=self._metrics.count_reply,
            owner=owner,
            user=user,
            pieces=pieces and convert is CheckedReply,
        )

    async def search(self, context: Sequence[str], k: int, *, owner: str) -> Sequence[Candidate]:
        """Return the `k` best candidates, without those that the policy blocks; none if it blocks the context.

        Raises:
            APIError: see `start` and `AsyncJob.result`.
        """
        starts = [partial(self._search, context, k)]
        [job] = await self._jobs.start(starts, tuple[Candidate, ...], owner=owner, pieces=False)
        return await job.result()

    def _new_start(self, request: ReplyRequest, session: Session | None) -> Callable[[], ReplyHandle[Reply]]:
        """Return the start of a reply, which checks the input first if there is a policy for it."""
        start = partial(
            self.responder.start,
            request.context,
            persona=request.persona,
            options=request.options,
            seed=secrets.randbelow(SEEDS) if request.seed is None else request.seed,
            session=session,
        )
        if self._policy is None or not self._policy.checks_input:
            return start
        first = 0 if request.unchecked is None else len(request.context) - request.unchecked
        return partial(_check_and_start, self._policy, [*request.persona, *request.context[first:]], start)

    # Called in the worker threads

    def _search(self, context: Sequence[str], k: int) -> "_CompletedSearch":
        assert isinstance(self.responder, CandidateSearch)
        if self._policy is not None and self._policy.check_input(context) is not None:
            raise RejectedBeforeStart(())
        candidates = self.responder.search(context, k=k)
        if self._policy is not None and candidates:
            allowed, _ = self._policy.pick(Reply(tuple(candidates)))
            candidates = () if allowed is None else allowed.candidates
        return _CompletedSearch(candidates)


def _check_and_start(
    policy: Policy, texts: Sequence[str], start: Callable[[], ReplyHandle[Reply]]
) -> ReplyHandle[Reply]:
    if (blocked := policy.check_input(texts)) is not None:
        raise RejectedBeforeStart(CheckedReply(Reply((Candidate(policy.say),)), blocked))
    return start()


def _check_output(policy: Policy, reply: Reply) -> CheckedReply:
    """Keep the candidates that the policy allows; the first of them is the reply."""
    allowed, blocked = policy.pick(reply)
    if allowed is not None:
        return CheckedReply(allowed)
    replacement = replace(reply, candidates=(Candidate(policy.say),), ranked_by="")
    return CheckedReply(replacement, blocked, withheld=reply.text)


class _CompletedSearch:
    """Handle of a search, which is over when it has started: it has no pieces, and nothing to cancel."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.result = lambda: candidates
        self.cancel = lambda: None

    def __iter__(self) -> Iterator[str]:
        return iter(())
