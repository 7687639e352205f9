"""Selection of the turns on which a model is evaluated, options of an evaluation, and digests of data."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convmodel.data.conversation import Conversation, ConversationReader
from convmodel.data.sides import make_sides
from convmodel.tokens.speakers import by_appearance
from convmodel.tokens.turn_windows import TrainOn, target_turns, turns_of_speakers

MINIMA = {
    **dict.fromkeys(("limit", "prompt_words", "overlap", "seed"), 0),
    **dict.fromkeys(("resamples", "tokens_per_batch"), 1),
    "pool": 2,
}
"""Minimum of each integer option."""


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Options of an evaluation. Each task uses some of them and rejects the others.

    Args:
        turns: the turns to reply to. The first turn of a conversation is left out, because it has no context.
        perplexity_on: the turns whose perplexity is measured; "all" as in the trainer's `test`.
        limit: maximum number of conversations to reply to, or of documents to continue, spread evenly over the file;
            0 for all. If None, all for selectors and 500 for other models. Perplexity is always measured on all.
        pool: number of candidates of each reply if the file has none; 20 if None.
        prompt_words: number of words at the beginning of a document that are the prompt; 0 for an empty prompt.
        overlap: number of tokens that each further window of a long document repeats; they are read as context, but not
            predicted again.
        meta: whether a document model reads the metas of documents.
        decoding: options of transformers' `generate`, which override the model's own, or for documents those of greedy
            decoding.
        seed: seed of generation and of the bootstrap.
        resamples: number of resamples of the bootstrap.
        confidence: level of the intervals. A difference is significant if its p-value is below 1 - `confidence`.
        bleu_tokenize: name of the tokenizer of sacrebleu.
        tokens_per_batch: maximum number of tokens of a batch for perplexity; it changes numbers only by rounding.

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
        persona: persona sentences, if they describe the speaker of the turn; otherwise empty.
        context: the turns before this turn, at least one.
        gold: text of the turn.
        speakers: name of the speaker of each turn of the context; None without names.
        speaker: name of the speaker of the turn; None without names.
    """

    conversation: int
    turn: int
    persona: tuple[str, ...]
    context: tuple[str, ...]
    gold: str
    speakers: tuple[str, ...] | None = None
    speaker: str | None = None


def select_examples(
    conversations: Sequence[Conversation], *, turns: TrainOn, limit: int, max_speakers: int = 2
) -> list[ReplyExample]:
    """Return the turns to reply to, in the order of the file. Raises ValueError if there are none.

    With `max_speakers` 2, a conversation of named speakers is read as one of two sides, whose turns are selected.
    """
    examples: list[ReplyExample] = []
    for index in evenly_spaced(len(conversations), limit):
        conversation = conversations[index]
        if conversation.speakers is None:
            examples += _of_unnamed(index + 1, conversation, turns)
        else:
            examples += (_of_sides if max_speakers == 2 else _of_speakers)(index + 1, conversation, turns)
    if not examples:
        raise ValueError(f"there is no turn to reply to with turns={turns}; choose other turns, such as last or all")
    return examples


def _of_unnamed(number: int, conversation: Conversation, turns: TrainOn) -> Iterator[ReplyExample]:
    last = len(conversation.turns) - 1
    for turn in target_turns(turns, last + 1):
        if turn > 0:
            persona = conversation.persona if (last - turn) % 2 == 0 else ()
            yield ReplyExample(number, turn + 1, persona, conversation.turns[:turn], conversation.turns[turn])


def _of_speakers(number: int, conversation: Conversation, turns: TrainOn) -> Iterator[ReplyExample]:
    names = conversation.speakers or ()
    for turn in turns_of_speakers(turns, by_appearance(names)):
        if turn > 0:
            persona = conversation.persona if names[turn] == names[-1] else ()
            given = (names[:turn], names[turn])
            yield ReplyExample(number, turn + 1, persona, conversation.turns[:turn], conversation.turns[turn], *given)


def _of_sides(number: int, conversation: Conversation, turns: TrainOn) -> Iterator[ReplyExample]:
    """Yield turns of a conversation read as two sides: the last speaker, and all others.

    Only examples of the last speaker's side have names, because the other side has several speakers.
    """
    names = conversation.speakers or ()
    sides = make_sides(conversation.turns, names, names[-1])
    replies = [name == names[-1] for name in names]
    starts = [turn for turn, is_reply in enumerate(replies) if not turn or is_reply != replies[turn - 1]]
    for turn in target_turns(turns, len(sides)):
        if turn and sides[turn].replies:
            given = (names[: starts[turn]], names[-1])
            context = conversation.turns[: starts[turn]]
            yield ReplyExample(number, turn + 1, conversation.persona, context, sides[turn].said, *given)
        elif turn:
            yield ReplyExample(number, turn + 1, (), tuple(side.shown for side in sides[:turn]), sides[turn].shown)


def evenly_spaced(count: int, limit: int) -> list[int]:
    """Return `limit` evenly spaced indices below `count`; all if `limit` is 0 or at least `count`."""
    if not 0 < limit < count:
        return list(range(count))
    return [index * count // limit for index in range(limit)]


def conversation_facts(reader: ConversationReader, conversations: Sequence[Conversation]) -> dict[str, Any]:
    """Return the facts about a file of conversations for the report."""
    return {
        "source": reader.source,
        "fingerprint": fingerprint(conversations),
        "conversations": len(conversations),
        "skipped": reader.report.skipped,
    }


def fingerprint(conversations: Sequence[Conversation]) -> str:
    """Return a digest of turns, personas and names. It does not depend on the format of the file."""
    return digest([c.turns, c.persona, *([c.speakers] if c.speakers else [])] for c in conversations)


def digest(values: Iterable[Any]) -> str:
    """Return a digest of JSON values."""
    hasher = hashlib.blake2b(digest_size=16)
    for value in values:
        hasher.update(json.dumps(value).encode())
    return hasher.hexdigest()
