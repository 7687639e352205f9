"""Start replies as jobs, and check their input and output against the policy."""

import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from convmodel.responders.protocol import Candidate, Reply, ReplyHandle, Responder, Session
from convmodel.serving.jobs import JobRunner, RejectedBeforeStart
from convmodel.serving.metrics import Metrics
from convmodel.serving.safety.policy import BlockReason, Policy
from convmodel.serving.thread_bridge import AsyncJob

__all__ = ["SEEDS", "BlockReason", "CheckedReply", "Policy", "ReplyRequest", "ReplyService", "stream_text"]

SEEDS = 2**31
"""Drawn seeds are below this: short enough to be read out and sent again."""


@dataclass(frozen=True)
class ReplyRequest:
    """A request for one reply.

    Args:
        context: the turns so far, oldest first.
        persona: sentences about the speaker of the reply.
        options: the options of the preset and of the request, merged.
        seed: makes the reply reproducible; None draws one.
        unchecked: the number of last turns that no policy has checked yet; None means all turns.
    """

    context: Sequence[str]
    persona: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    unchecked: int | None = None


@dataclass(frozen=True)
class CheckedReply:
    """A reply that passed the policy, or the policy's replacement for it.

    Args:
        reply: the reply with the candidates that may be shown; the only candidate of a blocked reply is the policy's
            replacement text.
        blocked: the reason for the replacement, if there is one.
        withheld: the text of a blocked reply, which must not be shown.
    """

    reply: Reply
    blocked: BlockReason | None = None
    withheld: str | None = None

    @property
    def text(self) -> str:
        """The text to show."""
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
    """Starts replies as jobs.

    Args:
        responder: generates the replies.
        jobs: runs them.
        metrics: counts them.
        policy: checks input and output; None allows everything.
    """

    def __init__(
        self, responder: Responder, *, jobs: JobRunner, metrics: Metrics, policy: Policy | None = None
    ) -> None:
        self.responder = responder
        self._jobs = jobs
        self._metrics = metrics
        self._policy = policy

    async def start(
        self,
        request: ReplyRequest,
        *,
        owner: str,
        user: str | None = None,
        session: Session | None = None,
        pieces: bool = True,
    ) -> AsyncJob[CheckedReply]:
        """Start a reply. A request that the policy blocks gives a job that is already completed.

        Args:
            request: context, persona and options.
            owner: the owner of the API key.
            user: the end user, where the owner distinguishes them.
            session: the conversation's session, if there is one.
            pieces: whether the caller reads the pieces; False is cheaper.

        Raises:
            APIError: 400 for turns or options that are not supported, 429 when too many replies are open, 503 while the
                server is shutting down.
        """
        [job] = await self.start_many([request], owner=owner, user=user, session=session, pieces=pieces)
        return job

    async def start_many(
        self,
        requests: Sequence[ReplyRequest],
        *,
        owner: str,
        user: str | None = None,
        session: Session | None = None,
        pieces: bool = True,
    ) -> list[AsyncJob[CheckedReply]]:
        """Start several replies, all or none; see `start`."""
        self._jobs.acquire(len(requests), owner=owner, user=user)
        pieces = pieces and (self._policy is None or not self._policy.checks_output)
        jobs: list[AsyncJob[CheckedReply]] = []
        try:
            for request in requests:
                starter = self._starter(request, session)
                jobs.append(
                    await self._jobs.start(starter, self._count_and_check, owner=owner, user=user, pieces=pieces)
                )
        except BaseException:
            for started in jobs:
                started.cancel()
            self._jobs.release(len(requests) - len(jobs) - 1, owner=owner, user=user)
            raise
        return jobs

    def _starter(self, request: ReplyRequest, session: Session | None) -> Callable[[], ReplyHandle[Reply]]:
        seed = secrets.randbelow(SEEDS) if request.seed is None else request.seed

        def start() -> ReplyHandle[Reply]:
            self._check_input(request)
            return self.responder.start(
                request.context, persona=request.persona, options=request.options, seed=seed, session=session
            )

        return start

    # Called in the worker threads

    def _check_input(self, request: ReplyRequest) -> None:
        """Raise RejectedBeforeStart if the policy blocks the input."""
        if self._policy is None or not self._policy.checks_input:
            return
        checked = len(request.context) if request.unchecked is None else request.unchecked
        blocked = self._policy.check_input([*request.persona, *request.context[len(request.context) - checked :]])
        if blocked is not None:
            raise RejectedBeforeStart(CheckedReply(Reply((Candidate(self._policy.say),)), blocked))

    def _count_and_check(self, reply: Reply) -> CheckedReply:
        self._metrics.count_reply(reply)
        return self._check_output(reply)

    def _check_output(self, reply: Reply) -> CheckedReply:
        """Keep the candidates that the policy allows; the first of them is the reply."""
        if self._policy is None or not self._policy.checks_output:
            return CheckedReply(reply)
        allowed, blocked = self._policy.pick(reply)
        if allowed is not None:
            return CheckedReply(allowed)
        replacement = replace(reply, candidates=(Candidate(self._policy.say),), ranked_by="")
        return CheckedReply(replacement, blocked, withheld=reply.text)
