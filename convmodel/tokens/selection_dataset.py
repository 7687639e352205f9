"""A token store in, contexts with their responses out: every turn of a conversation, or what a file's examples ask."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from convmodel.tokens.store import TokenStore

Ids = list[int]

LEAST = 3
"""Tokens of a context beside its persona at least: one of a turn, and its separators."""


@dataclass(frozen=True, slots=True)
class TokenisedChoice:
    """A context and what was said next, as token ids.

    Args:
        turns: of the context, oldest first; at least one.
        persona: sentences about the one who replies.
        response: what was said.
        distractors: what else could have been said.
    """

    turns: list[Ids]
    persona: list[Ids]
    response: Ids
    distractors: list[Ids]


class SelectionDataset:
    """The examples of a store, read by number.

    Of a conversation every turn but the first is a response to those before it. A persona is that of who says the last
    turn, and stands only before responses of that speaker.

    Args:
        store: token ids, with the candidates where the file gave some.
        max_context: tokens of a context at most; what has a longer persona is left out, see `dropped`.
        max_turns: the newest turns of a context that are read at most.

    Attributes:
        dropped: the numbers of the conversations whose persona leaves no room for a turn.

    Raises:
        ValueError: when `max_turns` is below 1.
    """

    def __init__(self, store: TokenStore, *, max_context: int, max_turns: int | None = None) -> None:
        if max_turns is not None and max_turns < 1:
            raise ValueError(f"max_turns={max_turns}; it must be at least 1")
        self._store, self._max_turns = store, max_turns
        self._first_turn = store.first[:-1] + store.prefix_segments
        self._turns = store.first[1:] - self._first_turn - store.candidates
        asked = np.where(store.candidates > 0, 1, np.maximum(self._turns - 1, 0))
        costs = np.append(0, np.cumsum(store.segment_lengths() + 1))
        persona = costs[self._first_turn] - costs[store.first[:-1]]
        self.dropped = np.flatnonzero((persona + LEAST > max_context) & (asked > 0))
        asked[self.dropped] = 0
        self._conversation = np.repeat(np.arange(len(store)), asked)
        place = np.arange(len(self._conversation)) - np.repeat(np.cumsum(asked) - asked, asked)
        # The turn that is the response; where there are candidates, the first of them stands behind the context.
        self._response = np.where(store.candidates[self._conversation] > 0, self._turns[self._conversation], place + 1)

    def __len__(self) -> int:
        return len(self._conversation)

    @property
    def pool_sizes(self) -> np.ndarray:
        """(len(self),) how many candidates the file gave with each example; 0 where it gave none."""
        return self._store.candidates[self._conversation]

    def conversation(self, n: int) -> int:
        """The number of the conversation that example `n` is of."""
        return int(self._conversation[n])

    def read(self, numbers: Iterable[int], *, distractors: int) -> list[TokenisedChoice]:
        """The examples of these numbers.

        Args:
            numbers: from 0.
            distractors: how many of those that the file gives are read at most.
        """
        return [self._read(int(n), distractors) for n in numbers]

    def _read(self, n: int, distractors: int) -> TokenisedChoice:
        store, conversation, response = self._store, self._conversation[n], int(self._response[n])
        start = int(self._first_turn[conversation])
        oldest = 0 if self._max_turns is None else max(0, response - self._max_turns)
        given = int(store.candidates[conversation])
        stop = response + 1 + min(distractors, max(given - 1, 0))
        segments = store.segments(start + oldest, start + stop)
        turns = segments[: response - oldest]
        described = given > 0 or (int(self._turns[conversation]) - 1 - response) % 2 == 0
        persona = store.segments(int(store.first[conversation]), start) if described else []
        return TokenisedChoice(turns, persona, segments[len(turns)], segments[len(turns) + 1 :])
