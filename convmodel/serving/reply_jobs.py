"""Start replies as jobs, and check their input and output against the policy."""

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from convmodel.responders.protocol import Candidate, CandidateSearch, Names, Reply, Responder, Session
from convmodel.serving.jobs import JobRunner, JobService, RejectedBeforeStart
from convmodel.serving.metrics import Metrics
from convmodel.serving.safety.policy import BlockReason, Policy
from convmodel.serving.thread_bridge import AsyncJob

if TYPE_CHECKING:
    from convmodel.serving.document_jobs import CheckedDocuments

CheckedTextT = TypeVar("CheckedTextT", bound="CheckedReply | CheckedDocuments")

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
    session: Session | None = None
    """The conversation's session, if there is one."""
    names: Names = field(default_factory=Names)
    """The names of speakers, in a conversation of several people."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of `Responder.start`."""
        seed = secrets.randbelow(SEEDS) if self.seed is None else self.seed
        same = {"context": self.context, "persona": self.persona, "options": self.options}
        return {**same, "seed": seed, "session": self.session, **self.names}


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

    @property
    def counts(self) -> tuple[int, int, int]:
        """The numbers of tokens that were read, written, and taken from the cache."""
        return self.reply.context_tokens, self.reply.reply_tokens, self.reply.cached_tokens


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


class ReplyService(JobService[ReplyRequest, Reply, CheckedReply]):
    """Starts replies, and searches of candidates."""

    def __init__(self, responder: Responder, jobs: JobRunner, metrics: Metrics, policy: Policy | None) -> None:
        super().__init__(responder, jobs, policy, count=metrics.count_reply, convert=CheckedReply)
        self.responder = responder

    async def search(self, context: Sequence[str], k: int, *, owner: str) -> Sequence[Candidate]:
        """Return the `k` best candidates, without those that the policy blocks; none if it blocks the context.

        Raises:
            APIError: see `start` and `AsyncJob.result`.
        """
        starts = [partial(self._search, context, k)]
        [job] = await self._jobs.start(starts, tuple[Candidate, ...], owner=owner, pieces=False)
        return await job.result()

    # Called in the worker threads

    def _check_input(self, policy: Policy, request: ReplyRequest) -> CheckedReply | None:
        first = 0 if request.unchecked is None else len(request.context) - request.unchecked
        names = dict.fromkeys(request.names.get("speakers") or ())
        blocked = policy.check_input([*request.persona, *names, *request.context[first:]])
        return None if blocked is None else CheckedReply(Reply((Candidate(policy.say),)), blocked)

    def _check_output(self, policy: Policy, output: Reply) -> CheckedReply:
        """Keep the candidates that the policy allows; the first of them is the reply."""
        allowed, blocked = policy.pick(output)
        if allowed is not None:
            return CheckedReply(replace(allowed, reasoning=""))  # the policy reads texts alone
        replacement = replace(output, candidates=(Candidate(policy.say),), ranked_by="", reasoning="")
        return CheckedReply(replacement, blocked, withheld=output.text)

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
