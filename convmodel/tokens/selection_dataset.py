"""Read contexts with their responses from a token store, for the training of selection models."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from convmodel.tokens.store import TokenStore

Ids = list[int]

MIN_CONTEXT = 3
"""Minimum number of tokens of a context beside its persona: one token of a turn and two separators."""


@dataclass(frozen=True, slots=True)
class TokenisedChoice:
    """Token ids of a context (oldest turn first), the persona of the next speaker, the response, and distractors.

    `index` is the example's index in its `SelectionDataset`, or -1.
    """

    turns: list[Ids]
    persona: list[Ids]
    response: Ids
    distractors: list[Ids]
    index: int = field(default=-1, compare=False)


class SelectionDataset:
    """The selection examples of a store, read by index.

    Every turn of a conversation but the first is a response to the turns before it. A persona describes the speaker of
    the last turn, and is used only for responses of that speaker.

    Args:
        store: token ids of conversations, with candidates if the source file has them.
        max_context: maximum number of tokens of a context. `dropped` holds the indices of the conversations whose
            persona leaves no room for a turn.
        max_turns: maximum number of turns of a context, the newest ones, at least 1; None for no limit.
    """

    def __init__(self, store: TokenStore, *, max_context: int, max_turns: int | None = None) -> None:
        if max_turns is not None and max_turns < 1:
            raise ValueError(f"max_turns={max_turns}; it must be at least 1")
        self._store = store
        self._max_turns = max_turns
        self._first_turn = store.first[:-1] + store.prefix_segments
        self._turns = store.first[1:] - self._first_turn - store.candidates
        examples = np.where(store.candidates > 0, 1, np.maximum(self._turns - 1, 0))
        costs = np.append(0, np.cumsum(store.segment_lengths() + 1))
        persona = costs[self._first_turn] - costs[store.first[:-1]]
        self.dropped = np.flatnonzero((persona + MIN_CONTEXT > max_context) & (examples > 0))
        examples[self.dropped] = 0
        self._conversation = np.repeat(np.arange(len(store)), examples)
        index = np.arange(len(self._conversation)) - np.repeat(np.cumsum(examples) - examples, examples)
        # The index of the response among the turns; candidates are stored after the turns, the real response first.
        self._response = np.where(store.candidates[self._conversation] > 0, self._turns[self._conversation], index + 1)

    def __len__(self) -> int:
        return len(self._conversation)

    def conversation(self, n: int) -> int:
        """Return the index of the conversation of example `n`."""
        return int(self._conversation[n])

    def read(self, indices: Iterable[int], *, distractors: int, dialogue_negatives: int = 0) -> list[TokenisedChoice]:
        """Return the examples of the given indices, each with at most `distractors` distractors.

        After them, at most `dialogue_negatives` further distractors are turns of the same conversation with another
        text than the response, before or after it. They are chosen at random, and are the same in each call.
        """
        examples = [self._read(int(n), distractors) for n in indices]
        if not dialogue_negatives:
            return examples
        return [self._with_dialogue_negatives(example, dialogue_negatives) for example in examples]

    def _with_dialogue_negatives(self, example: TokenisedChoice, count: int) -> TokenisedChoice:
        conversation = self._conversation[example.index]
        first = int(self._first_turn[conversation])
        turns = self._store.segments(first, first + int(self._turns[conversation]))
        distinct = {tuple(ids): ids for ids in turns if ids != example.response}
        chosen = random.Random(example.index).sample(list(distinct.values()), min(count, len(distinct)))
        return replace(example, distractors=[*example.distractors, *chosen])

    def _read(self, n: int, distractors: int) -> TokenisedChoice:
        store = self._store
        conversation = self._conversation[n]
        response = int(self._response[n])
        start = int(self._first_turn[conversation])
        oldest = 0 if self._max_turns is None else max(0, response - self._max_turns)
        candidates = int(store.candidates[conversation])
        stop = response + 1 + min(distractors, max(candidates - 1, 0))
        segments = store.segments(start + oldest, start + stop)
        turns = segments[: response - oldest]
        has_persona = candidates > 0 or (int(self._turns[conversation]) - 1 - response) % 2 == 0
        persona = store.segments(int(store.first[conversation]), start) if has_persona else []
        return TokenisedChoice(turns, persona, segments[len(turns)], segments[len(turns) + 1 :], n)
