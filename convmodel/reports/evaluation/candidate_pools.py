"""A file in, replies among candidates out: those that the file gives, or drawn from its other conversations."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from convmodel.data.conversation import Conversation, ConversationReader, OnError
from convmodel.data.reader import count
from convmodel.data.selection_example import SelectionExample, SelectionReader
from convmodel.generation.seeds import derive_seed
from convmodel.metrics.words import words
from convmodel.reports.evaluation.examples import Example, Options, digest, evenly_spaced, examples, fingerprint

POOL = 20
"""Candidates of a reply where neither the file nor the options say how many, as in Persona-Chat."""


@dataclass(frozen=True)
class CandidatePool:
    """A reply among candidates.

    Args:
        conversation: its number in the file, from 1; examples of one conversation depend on each other.
        line: where in the file it stands, from 1.
        example: context, candidates and which of them was said.
    """

    conversation: int
    line: int
    example: SelectionExample


@dataclass(frozen=True)
class Pools:
    """What a model is to choose from.

    Args:
        examples: in ascending order of conversations.
        place: how a line is named to a person, with "{line}" in it.
        data: facts about the file.
        candidates: where they come from.
        notes: what a reader of the numbers should know.
    """

    examples: Sequence[CandidatePool]
    place: str
    data: dict[str, Any]
    candidates: dict[str, Any]
    notes: Sequence[str] = field(default_factory=tuple)


def read_pools(data: str, options: Options, on_error: OnError) -> Pools:
    """Reads replies with the candidates of the file; draws them where it has none.

    Raises:
        FileNotFoundError, ValueError: when it cannot be read, when there is nothing to choose between, and for options
            that mean nothing for a file with candidates.
    """
    reader = SelectionReader(data, on_error=on_error)
    return _given(reader, options) if reader.given() else _drawn(data, options, on_error)


# Candidates of the file


def _given(reader: SelectionReader, options: Options) -> Pools:
    for name, left_out in (("turns", "last"), ("pool", None)):
        if (value := getattr(options, name)) != left_out:
            raise ValueError(
                f"{reader.source}: {name}={value} means nothing here, as the file says which replies stand among which "
                "candidates; leave it out"
            )
    found, pairs = [], 0
    numbers: dict[tuple[tuple[str, ...], str], int] = {}
    for line, example in reader.numbered():
        # Those of one thread begin alike, wherever in the file they stand.
        number = numbers.setdefault((example.persona, example.context[0]), len(numbers) + 1)
        if len(example.candidates) > 1:
            found.append(CandidatePool(number, line, example))
        else:
            pairs += 1
    if not found:
        raise ValueError(
            f"{reader.source}: no reply has a distractor, so there is nothing to choose between; give a file with "
            "distractors, or one of plain conversations, from which they are drawn"
        )
    kept = _some(sorted(found, key=lambda one: one.conversation), options.limit or 0)
    notes = [f"{count(pairs, 'example')} without a distractor left out."] if pairs else []
    facts = {
        "source": reader.source,
        "fingerprint": digest(asdict(one.example) for one in found),
        "conversations": len(numbers),
        "examples": len(found),
        "skipped": reader.report.skipped,
    }
    return Pools(kept, reader.place(0)[:-1] + "{line}", facts, {"from": "the file"}, notes)


def _some(found: Sequence[CandidatePool], limit: int) -> list[CandidatePool]:
    """The examples of `limit` conversations at even distances."""
    numbers = sorted({one.conversation for one in found})
    kept = {numbers[place] for place in evenly_spaced(len(numbers), limit)}
    return [one for one in found if one.conversation in kept]


# Candidates of our own


def _drawn(data: str, options: Options, on_error: OnError) -> Pools:
    reader = ConversationReader(data, on_error=on_error)
    lines, conversations = [], []
    for line, conversation in reader.numbered():
        lines.append(line)
        conversations.append(conversation)
    pool = options.pool or POOL
    draw = _Draw(conversations, options, pool)
    found = []
    for one in examples(conversations, turns=options.turns, limit=options.limit or 0):
        distractors = draw.distractors(one)
        if distractors:
            example = SelectionExample(one.context, (*distractors, one.gold), len(distractors), one.persona)
            found.append(CandidatePool(one.conversation, lines[one.conversation - 1], example))
    if not found:
        raise ValueError(
            f"{data}: there are no candidates in it, and no other conversations from which distractors could be drawn; "
            "give a file of more conversations"
        )
    facts = {
        "source": data,
        "fingerprint": fingerprint(conversations),
        "conversations": len(conversations),
        "skipped": reader.report.skipped,
    }
    candidates = {"from": "other conversations", "pool": pool, "turns": options.turns, "seed": options.seed}
    return Pools(found, reader.place(0)[:-1] + "{line}", facts, candidates, _told(found, pool, options.seed))


def _told(found: Sequence[CandidatePool], pool: int, seed: int) -> list[str]:
    sizes = Counter(len(one.example.candidates) for one in found)
    notes = [
        f"The file gives no candidates: each reply stands among {pool - 1:,} replies of other conversations, drawn "
        f"with the seed {seed}. Numbers compare only with those of the same file, pool and seed."
    ]
    if fewer := len(found) - sizes[pool]:
        notes.append(
            f"For {fewer:,} of {len(found):,} replies there were not that many different ones; they stand among "
            f"{min(sizes):,} candidates or more."
        )
    return notes


class _Draw:
    """Draws distractors for a reply: replies of the same kind of turn, as often as they are said, each text once.

    Args:
        conversations: of the whole file.
        options: which turns are replied to, and the seed.
        pool: candidates of a reply, itself included.
    """

    def __init__(self, conversations: Sequence[Conversation], options: Options, pool: int) -> None:
        self._replies = examples(conversations, turns=options.turns, limit=0)
        self._seed, self._wanted = options.seed, pool - 1
        self._keys: dict[str, str] = {}

    def distractors(self, one: Example) -> list[str]:
        """Distractors that say something else than the reply and than each other; the same for the same seed."""
        source = random.Random(derive_seed(self._seed, one.conversation, one.turn))
        everything = range(len(self._replies))
        some = source.sample(everything, min(len(everything), 2 * self._wanted + 10))
        found = self._distinct(one, some)
        enough = len(found) == self._wanted
        return found if enough else self._distinct(one, source.sample(everything, len(everything)))

    def _distinct(self, one: Example, order: Sequence[int]) -> list[str]:
        found: list[str] = []
        seen = {self._key(one.gold)}
        for reply in (self._replies[number] for number in order):
            key = self._key(reply.gold)
            if reply.conversation != one.conversation and key not in seen:
                seen.add(key)
                found.append(reply.gold)
                if len(found) == self._wanted:
                    break
        return found

    def _key(self, text: str) -> str:
        """What texts that say the same have in common: case, punctuation and white space aside."""
        if text not in self._keys:
            self._keys[text] = " ".join(words(text)) or text.strip()
        return self._keys[text]
