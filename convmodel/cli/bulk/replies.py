"""Batch generation of replies to a file of conversations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convmodel.cli.bulk.job import Job
from convmodel.cli.bulk.runner import BatchTask, Line, Result, ShowProgress, round_score, run_job
from convmodel.data.conversation import Conversation, ConversationReader
from convmodel.data.formats.jsonl import dump
from convmodel.responders.protocol import Candidate, Reply, ReplyHandle, Responder


@dataclass(frozen=True, kw_only=True)
class ReplyFileJob(Job):
    """Replies to a file of conversations of any format; a conversation may have a single turn.

    Args:
        last: whether the reply replaces the last turn, which is kept as the gold response, instead of following it.
        persona: persona of the conversations that have none.
    """

    last: bool = False
    persona: tuple[str, ...] = ()

    def reader(self) -> ConversationReader:
        """Return a reader of the input."""
        return ConversationReader(
            self.input, format=self.format, on_error=self.on_error, min_turns=2 if self.last else 1
        )

    def about(self, *, digest: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that determine the replies; see `Job.about`."""
        return super().about(digest=digest, options=options) | {"persona": list(self.persona), "last": self.last}

    def context(self, conversation: Conversation) -> tuple[str, ...]:
        """Return the turns to reply to."""
        return conversation.turns[:-1] if self.last else conversation.turns


def reply_to_file(responder: Responder, job: ReplyFileJob, *, digest: str, show: ShowProgress) -> Result:
    """Write a reply to each conversation of a file; see `run_job`."""
    return run_job(_ReplyTask(responder, job), digest=digest, show=show)


@dataclass(frozen=True)
class _ReplyTask(BatchTask[Conversation, Reply]):
    """A reply to each conversation."""

    generator: Responder
    job: ReplyFileJob

    noun = "conversation"
    nouns = ("reply", "replies")

    def start(self, index: int, item: Conversation) -> ReplyHandle[Reply]:
        return self.generator.start(
            self.job.context(item),
            persona=item.persona or self.job.persona,
            options=self.job.options,
            seed=self.job.seed_of(index),
        )

    def line(self, item: Conversation, result: Reply) -> Line:
        return _reply_line(self.job, item, result)

    def error_line(self, item: Conversation, error: str) -> str:
        return dump(self.job.context(item), item.persona, {**(item.meta or {}), "error": error})


def _reply_line(job: ReplyFileJob, conversation: Conversation, reply: Reply) -> Line:
    """Return a conversation that ends with the reply. An empty reply is not a valid turn and is left out."""
    texts = [candidate.text for candidate in reply.candidates]
    response = next((text for text in texts if text.strip()), None)
    meta = {**(conversation.meta or {}), "responses": texts, **_provenance(reply)}
    if job.last:
        meta["gold"] = conversation.turns[-1]
    meta |= {"finish": reply.finish, "seed": reply.seed, "turns_dropped": reply.turns_dropped}
    turns = [*job.context(conversation), *([response] if response is not None else [])]
    return Line(dump(turns, conversation.persona or job.persona, meta), response is None)


def _provenance(reply: Reply) -> dict[str, Any]:
    """Return scores and sources of the candidates, as lists with one entry per candidate."""
    fields: dict[str, Any] = {}
    candidates = reply.candidates
    if any(candidate.score is not None for candidate in candidates):
        fields["scores"] = [round_score(candidate.score) for candidate in candidates]
    if reply.ranked_by:
        fields["ranked_by"] = reply.ranked_by
    if any(candidate.source != "written" or candidate.scores for candidate in candidates):
        fields["provenance"] = [_source_fields(candidate) for candidate in candidates]
    return fields


def _source_fields(candidate: Candidate) -> dict[str, Any]:
    fields: dict[str, Any] = {"source": candidate.source}
    if candidate.number is not None:
        fields["number"] = candidate.number
    if candidate.metadata:
        fields["metadata"] = dict(candidate.metadata)
    if candidate.scores:
        fields["scores"] = {stage: round_score(score) for stage, score in candidate.scores.items()}
    return fields
