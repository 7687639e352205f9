"""Candidate pools for response selection: those of the file, or drawn from other conversations of the file."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from convmodel.data.conversation import Conversation, ConversationReader
from convmodel.data.options import ReadOptions
from convmodel.data.reader import Source, format_count
from convmodel.data.selection_example import SelectionExample, SelectionReader
from convmodel.generation.request import derive_seed
from convmodel.metrics.words import words
from convmodel.reports.evaluation.examples import (
    EvaluationOptions,
    ReplyExample,
    conversation_facts,
    digest,
    evenly_spaced,
    select_examples,
)

DEFAULT_POOL = 20
"""Default number of candidates of a reply, as in Persona-Chat, if the file has no candidates."""


@dataclass(frozen=True)
class CandidatePool:
    """A gold reply and its distractors.

    Args:
        conversation: index of the conversation in the file, from 1.
        line: line of the example in the file, from 1.
        example: context, gold reply and distractors.
    """

    conversation: int
    line: int
    example: SelectionExample


@dataclass(frozen=True)
class Pools:
    """Candidate pools of an evaluation.

    Args:
        examples: the pools, in ascending order of conversations.
        location: function that formats a line number as a location in messages.
        data: facts about the file, for the report.
        candidates: origin of the candidates, for the report.
        notes: caveats for the reader of the report.
    """

    examples: Sequence[CandidatePool]
    location: Callable[[int], str]
    data: dict[str, Any]
    candidates: dict[str, Any]
    notes: Sequence[str] = field(default_factory=tuple)


def read_pools(data: Source, options: EvaluationOptions, read_options: ReadOptions | None = None) -> Pools:
    """Read the replies of a file with their candidates. If the file has none, draw them from its other conversations.

    Raises:
        FileNotFoundError, ValueError: if the file cannot be read, if no reply has a distractor, or for an option that
            has no effect on a file with candidates.
    """
    reader = SelectionReader(data, read_options)
    return _given_pools(reader, options) if reader.has_candidates() else _drawn_pools(data, options, read_options)


def _given_pools(reader: SelectionReader, options: EvaluationOptions) -> Pools:
    for name, default in (("turns", "last"), ("pool", None)):
        if (value := getattr(options, name)) != default:
            raise ValueError(
                f"{reader.source}: {name}={value} has no effect, because the file has its own candidates for each "
                "reply; leave it out"
            )
    examples = []
    conversations: dict[tuple[tuple[str, ...], str], int] = {}
    for line, example in reader.with_line_numbers():
        # Examples with the same persona and first turn belong to one conversation, also if they are apart in the file.
        conversation = conversations.setdefault((example.persona, example.context[0]), len(conversations) + 1)
        examples.append(CandidatePool(conversation, line, example))
    pools = [pool for pool in examples if len(pool.example.candidates) > 1]
    if not pools:
        raise ValueError(
            f"{reader.source}: no reply has a distractor, so there is nothing to choose between; give a file with "
            "distractors, or one of plain conversations, from which they are drawn"
        )
    indices = sorted({pool.conversation for pool in pools})
    kept = {indices[position] for position in evenly_spaced(len(indices), options.limit or 0)}
    selected = sorted((pool for pool in pools if pool.conversation in kept), key=lambda pool: pool.conversation)
    left_out = len(examples) - len(pools)
    notes = [f"{format_count(left_out, 'example')} without a distractor left out."] if left_out else []
    facts = {
        "source": reader.source,
        "fingerprint": digest(asdict(pool.example) for pool in pools),
        "conversations": len(conversations),
        "examples": len(pools),
        "skipped": reader.report.skipped,
    }
    return Pools(selected, reader.location, facts, {"from": "the file"}, notes)


def _drawn_pools(data: Source, options: EvaluationOptions, read_options: ReadOptions | None = None) -> Pools:
    reader = ConversationReader(data, read_options)
    numbered = list(reader.with_line_numbers())
    conversations = [conversation for _, conversation in numbered]
    size = options.pool or DEFAULT_POOL
    sampler = _DistractorSampler(conversations, options, size)
    pools = []
    for example in select_examples(conversations, turns=options.turns, limit=options.limit or 0):
        distractors = sampler.sample(example)
        if distractors:
            line, _ = numbered[example.conversation - 1]
            candidates = (*distractors, example.gold)
            selection = SelectionExample(example.context, candidates, len(distractors), example.persona)
            pools.append(CandidatePool(example.conversation, line, selection))
    if not pools:
        raise ValueError(
            f"{reader.source}: there are no candidates in it, and no other conversations from which distractors could "
            "be drawn; give a file of more conversations"
        )
    candidates_from = {"from": "other conversations", "pool": size, "turns": options.turns, "seed": options.seed}
    facts = conversation_facts(reader, conversations)
    return Pools(pools, reader.location, facts, candidates_from, _drawing_notes(pools, size, options.seed))


def _drawing_notes(pools: Sequence[CandidatePool], size: int, seed: int) -> list[str]:
    sizes = Counter(len(pool.example.candidates) for pool in pools)
    notes = [
        f"The file gives no candidates: each reply is ranked among {size - 1:,} replies of other conversations, drawn "
        f"with the seed {seed}. Numbers compare only with those of the same file, pool and seed."
    ]
    if smaller := len(pools) - sizes[size]:
        notes.append(
            f"For {smaller:,} of {len(pools):,} replies there were not that many different ones; they are ranked among "
            f"{min(sizes):,} candidates or more."
        )
    return notes


class _DistractorSampler:
    """Draws distractors from the replies of other conversations, for pools of `pool` candidates.

    The size of a pool includes the gold reply. Frequent replies are drawn more often, but a pool contains each text
    only once.
    """

    def __init__(self, conversations: Sequence[Conversation], options: EvaluationOptions, pool: int) -> None:
        self._replies = select_examples(conversations, turns=options.turns, limit=0)
        self._seed = options.seed
        self._wanted = pool - 1
        self._keys: dict[str, str] = {}

    def sample(self, example: ReplyExample) -> list[str]:
        """Return distractors that differ from the gold reply and each other. The draw depends on the seed alone."""
        source = random.Random(derive_seed(self._seed, example.conversation, example.turn))
        indices = range(len(self._replies))
        # About twice as many as needed nearly always suffice. If they do not, all replies are shuffled.
        some = source.sample(indices, min(len(indices), 2 * self._wanted + 10))
        distractors = self._distinct(example, some)
        if len(distractors) == self._wanted:
            return distractors
        return self._distinct(example, source.sample(indices, len(indices)))

    def _distinct(self, example: ReplyExample, order: Sequence[int]) -> list[str]:
        distractors: list[str] = []
        seen = {self._key(example.gold)}
        for reply in (self._replies[index] for index in order):
            key = self._key(reply.gold)
            if reply.conversation != example.conversation and key not in seen:
                seen.add(key)
                distractors.append(reply.gold)
                if len(distractors) == self._wanted:
                    break
        return distractors

    def _key(self, text: str) -> str:
        """Return the words of a text in lower case and without punctuation, for comparison."""
        if text not in self._keys:
            self._keys[text] = " ".join(words(text)) or text.strip()
        return self._keys[text]
