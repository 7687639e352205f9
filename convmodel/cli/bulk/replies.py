"""Conversations and a Responder in, a file of replies out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convmodel.cli.bulk.job import Job
from convmodel.cli.bulk.runner import BatchTask, Line, Result, ShowProgress, rounded, run_job
from convmodel.data.conversation import Conversation, ConversationReader
from convmodel.data.formats.jsonl import dump
from convmodel.responders.protocol import Candidate, Reply, ReplyHandle, Responder


@dataclass(frozen=True, kw_only=True)
class ReplyFileJob(Job):
    """Replies for a file of conversations of any format, which may have one turn.

    Args:
        last: reply in place of the last turn, which is kept as the gold response, instead of to it.
        persona: of conversations that have none of their own.
    """

    last: bool = False
    persona: tuple[str, ...] = ()

    def reader(self) -> ConversationReader:
        """Reads the input."""
        return ConversationReader(
            self.input, format=self.format, on_error=self.on_error, min_turns=2 if self.last else 1
        )

    def about(self, *, digest: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """See `Job`."""
        return super().about(digest=digest, options=options) | {"persona": list(self.persona), "last": self.last}

    def context(self, conversation: Conversation) -> tuple[str, ...]:
        """What is replied to."""
        return conversation.turns[:-1] if self.last else conversation.turns


def reply_to_file(responder: Responder, job: ReplyFileJob, *, digest: str, show: ShowProgress) -> Result:
    """Writes a reply for each conversation of a file; see `fill`."""
    return run_job(_Replies(responder, job), digest=digest, show=show)


class _Replies(BatchTask[Responder, ReplyFileJob, Conversation, ReplyHandle]):
    """A reply for each conversation."""

    noun = "conversation"
    nouns = ("reply", "replies")

    def begin(self, number: int, item: Conversation) -> ReplyHandle:
        return self.maker.start(
            self.job.context(item),
            persona=item.persona or self.job.persona,
            options=self.job.options,
            seed=self.job.seed_of(number),
        )

    def line(self, item: Conversation, work: ReplyHandle) -> Line:
        return _written(self.job, item, work.reply())

    def line_without(self, item: Conversation, error: str) -> str:
        return dump(self.job.context(item), item.persona, {**(item.meta or {}), "error": error})


def _written(job: ReplyFileJob, conversation: Conversation, reply: Reply) -> Line:
    """A conversation that ends with the reply; one without text cannot be a turn, and is left out of the turns."""
    texts = [candidate.text for candidate in reply.candidates]
    said = next((text for text in texts if text.strip()), None)
    meta = {**(conversation.meta or {}), "responses": texts, **_provenance(reply)}
    if job.last:
        meta["gold"] = conversation.turns[-1]
    meta |= {"finish": reply.finish, "seed": reply.seed, "turns_dropped": reply.turns_dropped}
    turns = [*job.context(conversation), *([said] if said is not None else [])]
    return Line(dump(turns, conversation.persona or job.persona, meta), said is None)


def _provenance(reply: Reply) -> dict[str, Any]:
    """What is known of the candidates beside their texts; an entry for each in every list."""
    known: dict[str, Any] = {}
    candidates = reply.candidates
    if any(candidate.score is not None for candidate in candidates):
        known["scores"] = [rounded(candidate.score) for candidate in candidates]
    if reply.ranked_by:
        known["ranked_by"] = reply.ranked_by
    if any(candidate.source != "written" or candidate.scores for candidate in candidates):
        known["provenance"] = [_came_from(candidate) for candidate in candidates]
    return known


def _came_from(candidate: Candidate) -> dict[str, Any]:
    found: dict[str, Any] = {"source": candidate.source}
    if candidate.number is not None:
        found["number"] = candidate.number
    if candidate.metadata:
        found["metadata"] = dict(candidate.metadata)
    if candidate.scores:
        found["scores"] = {stage: rounded(score) for stage, score in candidate.scores.items()}
    return found
