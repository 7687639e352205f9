"""Batch generation of replies to a file of conversations."""

from dataclasses import dataclass
from typing import Any

from convmodel.cli.bulk.job import Job, round_score
from convmodel.data.conversation import Conversation, ConversationReader
from convmodel.data.formats.jsonl import dump
from convmodel.responders.protocol import Candidate, Reply, ReplyHandle, Responder


@dataclass(frozen=True)
class ReplyJob(Job[Conversation, Reply]):
    """Replies to a file of conversations of any format; a conversation may have a single turn.

    Args:
        last: whether the reply replaces the last turn, which is kept as the gold response, instead of following it.
        persona: persona of the conversations that have none.
    """

    generator: Responder
    last: bool = False
    persona: tuple[str, ...] = ()

    noun = "conversation"
    nouns = ("reply", "replies")

    def reader(self) -> ConversationReader:
        min_turns = 2 if self.last else 1
        return ConversationReader(self.input, format=self.format, on_error=self.on_error, min_turns=min_turns)

    def about(self) -> dict[str, Any]:
        return super().about() | {"persona": list(self.persona), "last": self.last}

    def start(self, index: int, item: Conversation) -> ReplyHandle[Reply]:
        persona = item.persona or self.persona
        seed = self.seed_of(index)
        return self.generator.start(self._context(item), persona=persona, options=self.options, seed=seed)

    def line(self, item: Conversation, result: Reply) -> tuple[str, bool]:
        """Return a conversation that ends with the reply. An empty reply is not a valid turn and is left out."""
        texts = [candidate.text for candidate in result.candidates]
        response = next((text for text in texts if text.strip()), None)
        meta = {**(item.meta or {}), "responses": texts, **_provenance(result)}
        if self.last:
            meta["gold"] = item.turns[-1]
        meta |= {"finish": result.finish, "seed": result.seed, "turns_dropped": result.turns_dropped}
        turns = [*self._context(item), *([response] if response is not None else [])]
        return dump(turns, item.persona or self.persona, meta), response is not None

    def error_line(self, item: Conversation, error: str) -> str:
        return dump(self._context(item), item.persona, {**(item.meta or {}), "error": error})

    def _context(self, conversation: Conversation) -> tuple[str, ...]:
        return conversation.turns[:-1] if self.last else conversation.turns


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
