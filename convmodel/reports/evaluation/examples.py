"""Selection of the turns that a model is evaluated on, the options of an evaluation, and digests of data."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convmodel.data.conversation import Conversation, ConversationReader
from convmodel.tokens.turn_windows import TrainOn, target_turns

MINIMA = {
    **dict.fromkeys(("limit", "prompt_words", "overlap", "seed"), 0),
    **dict.fromkeys(("resamples", "tokens_per_batch"), 1),
    "pool": 2,
}
"""The smallest value of each whole-number option."""


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Everything that a report depends on besides model and data. Each task uses some options and rejects the others.

    Args:
        turns: the turns to reply to. The first turn of a conversation is never one of them: it has no context.
        perplexity_on: the turns whose perplexity is measured; "all" as in the trainer's `test`.
        limit: maximum number of conversations to reply to, or of documents to continue, spread evenly over the file;
            0 for all. When None, models that choose reply in all, and others in 500. Perplexity is always over all.
        pool: number of candidates of each reply where the file gives none; 20 when None.
        prompt_words: words at the beginning of a document that are the prompt of a model of documents; 0 for none.
        overlap: tokens that each further window of a long document repeats; they are read but not predicted again.
        decoding: options of transformers' `generate`, merged over the model's own; for documents, over greedy decoding.
        seed: seed of generation and of the bootstrap.
        confidence: level of the intervals, and 1 less the level at which a difference is significant.
        bleu_tokenize: the sacrebleu tokenizer.
        tokens_per_batch: maximum tokens of a batch for perplexity; it changes numbers only by rounding.

    Raises:
        ValueError: for values out of range.
    """

    turns: TrainOn = "last"
    perplexity_on: TrainOn = "all"
    limit: int | None = None
    pool: int | None = None
    prompt_words: int = 50
    overlap: int = 64
    meta: bool = True
    decoding: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    resamples: int = 2000
    confidence: float = 0.95
    bleu_tokenize: str = "13a"
    tokens_per_batch: int = 4096

    def __post_init__(self) -> None:
        for turns in (self.turns, self.perplexity_on):
            target_turns(turns, 2)  # raises ValueError for an unknown name
        for name, minimum in MINIMA.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise ValueError(f"{name}={value}; it must be at least {minimum}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence={self.confidence}; allowed are numbers between 0 and 1, such as 0.95")


@dataclass(frozen=True)
class ReplyExample:
    """A turn of a conversation, with its context.

    Args:
        conversation: index of the conversation in the file, from 1.
        turn: index of the turn in the conversation, from 1.
        persona: persona sentences of the turn's speaker; empty for the other speaker, whom a persona does not describe.
        context: the turns before it, at least one.
    """

    conversation: int
    turn: int
    persona: tuple[str, ...]
    context: tuple[str, ...]
    gold: str


def select_examples(conversations: Sequence[Conversation], *, turns: TrainOn, limit: int) -> list[ReplyExample]:
    """Return the turns to reply to, in the order of the file; raise ValueError when there are none."""
    examples = []
    for index in evenly_spaced(len(conversations), limit):
        conversation = conversations[index]
        last = len(conversation.turns) - 1
        for turn in target_turns(turns, last + 1):
            if turn > 0:
                persona = conversation.persona if (last - turn) % 2 == 0 else ()
                context = conversation.turns[:turn]
                examples.append(ReplyExample(index + 1, turn + 1, persona, context, conversation.turns[turn]))
    if not examples:
        raise ValueError(f"there is no turn to reply to with turns={turns}; choose other turns, such as last or all")
    return examples


def evenly_spaced(count: int, limit: int) -> list[int]:
    """Return `limit` evenly spaced indices below `count`; all of them when `limit` is 0 or at least `count`."""
    if not 0 < limit < count:
        return list(range(count))
    return [index * count // limit for index in range(limit)]


def conversation_facts(reader: ConversationReader, conversations: Sequence[Conversation]) -> dict[str, Any]:
    """Return the facts about a file of conversations that its report contains."""
    return {
        "source": reader.source,
        "fingerprint": fingerprint(conversations),
        "conversations": len(conversations),
        "skipped": reader.report.skipped,
    }


def fingerprint(conversations: Sequence[Conversation]) -> str:
    """Return a digest of turns and personas, which does not depend on the format of the file."""
    return digest([conversation.turns, conversation.persona] for conversation in conversations)


def digest(values: Iterable[Any]) -> str:
    """Return a digest of JSON values."""
    hasher = hashlib.blake2b(digest_size=16)
    for value in values:
        hasher.update(json.dumps(value).encode())
    return hasher.hexdigest()
