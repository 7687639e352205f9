"""Generation of replies as jobs; the policy checks their input and output."""

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
"""Upper bound, exclusive, of drawn seeds; small, so that people can copy a seed by hand."""


@dataclass(frozen=True)
class ReplyRequest:
    """A request for one reply; `options` are merged from the server's, the preset's and the request's.

    If `seed` is None, a seed is drawn.
    """

    context: Sequence[str]
    persona: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    unchecked: int | None = None
    """Number of last turns that no policy has checked yet; None means all turns."""
    session: Session | None = None
    """The session of a stored conversation; None for other requests."""
    names: Names = field(default_factory=Names)
    """The names of the speakers in a conversation of several people; otherwise empty."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of `Responder.start`."""
        seed = secrets.randbelow(SEEDS) if self.seed is None else self.seed
        same = {"context": self.context, "persona": self.persona, "options": self.options}
        return {**same, "seed": seed, "session": self.session, **self.names}


@dataclass(frozen=True)
class CheckedReply:
    """A reply after the policy's check.

    The reply has only the candidates that the policy allows. If it allows none, the only candidate is the policy's
    replacement text.
    """

    reply: Reply
    blocked: BlockReason | None = None
    """The reason why the reply was replaced; None if it was not."""
    withheld: str | None = None
    """The original text of a replaced reply; it must not be shown."""

    @property
    def text(self) -> str:
        return self.reply.text

    @property
    def finish(self) -> str:
        """The reason why the reply ended; "filtered" if the policy replaced it."""
        return self.reply.finish if self.blocked is None else "filtered"

    @property
    def counts(self) -> tuple[int, int, int]:
        """The numbers of tokens that the model read, wrote, and read from its cache."""
        return self.reply.context_tokens, self.reply.reply_tokens, self.reply.cached_tokens


async def stream_text(job: AsyncJob[CheckedTextT]) -> AsyncIterator[str]:
    """Yield the pieces of a job's text; joined, they are the complete text. Can be iterated only once per job.

    If the job has no pieces, since the policy blocked or checked the whole text, the text is yielded as one piece.
    Raises the errors of `job.result`.
    """
    empty = True
    async for piece in job:
        empty = False
        yield piece
    if empty and (text := (await job.result()).text):
        yield text


class ReplyService(JobService[ReplyRequest, Reply, CheckedReply]):
    """Starts replies as jobs, and searches the responder's candidates."""

    def __init__(self, responder: Responder, jobs: JobRunner, metrics: Metrics, policy: Policy | None) -> None:
        super().__init__(responder, jobs, policy, count=metrics.count_reply, convert=CheckedReply)
        self.responder = responder

    async def search(self, context: Sequence[str], k: int, *, owner: str) -> Sequence[Candidate]:
        """Return the `k` best candidates without those that the policy blocks.

        The result is empty if the policy blocks the context.

        Args:
            context: texts of the turns, the last of which is to be replied to.
            k: number of candidates to search.
            owner: name of the API key.

        Raises:
            APIError: see `JobRunner.start` and `AsyncJob.result`.
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
        """Return the reply with the allowed candidates, the first of which is the reply; or with the replacement."""
        allowed, blocked = policy.pick(output)
        if allowed is not None:
            return CheckedReply(replace(allowed, reasoning=""))  # removed, since the policy does not check reasoning
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
    """Handle of a finished search: it has a result, no pieces, and nothing to cancel."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.result = lambda: candidates
        self.cancel = lambda: None

    def __iter__(self) -> Iterator[str]:
        return iter(())
