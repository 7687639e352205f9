"""Conversations in, the turns that a model is measured on out; what a measurement depends on; and digests of data."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convmodel.data.conversation import Conversation
from convmodel.tokens.conversation_layout import TrainOn, target_turns


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a report depends on beside model and data. Each kind of model follows some, and refuses the others.

    Args:
        turns: which turns are replied to; the first turn of a conversation never is, for it has no context.
        perplexity_on: the turns of which perplexity is; "all" as in the trainer's `test`.
        limit: conversations that are replied to, or documents that are continued, at most, spread evenly over the file;
            0 for all. When None, models that choose reply in all, and others in 500. Perplexity is always that of all.
        pool: how many candidates each reply stands among where the file gives none; 20 when None.
        prompt_words: words of a document that are given to a model of documents to go on with; 0 for none.
        overlap: tokens that each further window of a document longer than the model's own repeats, only to be read.
        meta: whether the meta of a document is read.
        decoding: options of transformers' `generate`, on top of the model's own; for documents, of greedy decoding.
        seed: of what is written and of the bootstrap.
        resamples: of the bootstrap.
        confidence: of the intervals, and 1 less the level at which a difference counts as real.
        bleu_tokenize: how sacrebleu finds the words of BLEU.
        tokens_per_batch: tokens that are read at once for perplexity; changes no number but by rounding.

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
        target_turns(self.turns, 2), target_turns(self.perplexity_on, 2)
        least = {
            "limit": 0,
            "pool": 2,
            "prompt_words": 0,
            "overlap": 0,
            "seed": 0,
            "resamples": 1,
            "tokens_per_batch": 1,
        }
        for name, value in ((name, getattr(self, name)) for name in least):
            if value is not None and value < least[name]:
                raise ValueError(f"{name}={value}; it must be at least {least[name]}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence={self.confidence}; allowed are numbers between 0 and 1, such as 0.95")


@dataclass(frozen=True)
class Example:
    """A turn that was said, and what came before it.

    Args:
        conversation: its number in the file, from 1.
        turn: its number in the conversation, from 1.
        persona: of the one who says it; empty for a turn of the other speaker, whom a persona does not describe.
        context: the turns before it, at least one.
        gold: the turn itself.
    """

    conversation: int
    turn: int
    persona: tuple[str, ...]
    context: tuple[str, ...]
    gold: str


def examples(conversations: Sequence[Conversation], *, turns: TrainOn, limit: int) -> list[Example]:
    """The turns to be replied to, in the order of the file.

    Raises:
        ValueError: when there are none.
    """
    found = []
    for number in evenly_spaced(len(conversations), limit):
        conversation = conversations[number]
        last = len(conversation.turns) - 1
        for turn in target_turns(turns, last + 1):
            if turn > 0:
                persona = conversation.persona if (last - turn) % 2 == 0 else ()
                context, gold = conversation.turns[:turn], conversation.turns[turn]
                found.append(Example(number + 1, turn + 1, persona, context, gold))
    if not found:
        raise ValueError(f"there is no turn to reply to with turns={turns}; choose other turns, such as last or all")
    return found


def evenly_spaced(count: int, limit: int) -> list[int]:
    """`limit` numbers below `count` at even distances, or all of them when `limit` is 0 or not less."""
    if not 0 < limit < count:
        return list(range(count))
    return [number * count // limit for number in range(limit)]


def fingerprint(conversations: Sequence[Conversation]) -> str:
    """A digest of what was said and of the personas, whatever the format of the file."""
    return digest([conversation.turns, conversation.persona] for conversation in conversations)


def digest(values: Iterable[Any]) -> str:
    """A digest of values that JSON can hold."""
    found = hashlib.blake2b(digest_size=16)
    for value in values:
        found.update(json.dumps(value).encode())
    return found.hexdigest()
