"""A token store in, laid-out windows of at most `max_length` tokens out, each read by its number."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from convmodel.tokens.conversation_layout import (
    ConversationSequence,
    TrainOn,
    Window,
    lay_out,
    room_for_turns,
    split_into_windows,
    target_turns,
)
from convmodel.tokens.store import TokenStore


@dataclass
class WindowCounts:
    """What became of the conversations of a store.

    Args:
        split: conversations longer than a window.
        cut_turns: turns longer than a window, cut from their start.
        dropped: numbers of the conversations whose persona leaves no room for a turn.
    """

    split: int = 0
    cut_turns: int = 0
    dropped: list[int] = field(default_factory=list)


class SegmentLengths(Protocol):
    """How long the persona sentences and turns of conversations are; see `TokenStore`."""

    @property
    def first(self) -> np.ndarray:
        """(C + 1,) the first segment of each conversation, and how many segments there are."""

    @property
    def prefix_segments(self) -> np.ndarray:
        """(C,) persona sentences of each conversation."""

    def segment_lengths(self) -> np.ndarray:
        """Tokens of every segment, without separators."""


class WindowPlan:
    """Which turns each window reads, so that every target turn is predicted exactly once; needs lengths alone.

    Args:
        segments: persona sentences and turns of all conversations.
        max_length: tokens of a window at most.
        train_on: which turns are predicted.
        context_share: see `convmodel.tokens.conversation_layout.split_into_windows`.
    """

    def __init__(
        self,
        segments: SegmentLengths,
        *,
        max_length: int,
        train_on: TrainOn = "all",
        context_share: float = 0.5,
    ) -> None:
        self._train_on = train_on
        self.counts = WindowCounts()
        lengths = segments.segment_lengths()
        costs = np.append(0, np.cumsum(lengths + 1))
        first_turn = segments.first[:-1] + segments.prefix_segments
        self._first_turn, self._turns = first_turn, segments.first[1:] - first_turn
        persona = costs[first_turn] - costs[segments.first[:-1]]
        short = persona + costs[segments.first[1:]] - costs[first_turn] + 1 <= max_length
        split = self._split(
            np.flatnonzero(~short), lengths, persona, max_length=max_length, context_share=context_share
        )
        rows = np.concatenate([self._whole(np.flatnonzero(short)), split])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        self._conversation, self._first, self._predict_from, self._stop, self._cut = rows.T
        start = self._first_turn[self._conversation]
        said = costs[start + self._stop] - costs[start + self._first]
        self.lengths = persona[self._conversation] + said + 1 - self._cut

    def __len__(self) -> int:
        return len(self._conversation)

    @property
    def conversations(self) -> int:
        """How many conversations have a turn that is predicted."""
        return len(np.unique(self._conversation))

    def _targets(self, n: int) -> range:
        """The numbers of the turns that window `n` predicts."""
        chosen = target_turns(self._train_on, int(self._turns[self._conversation[n]]))
        begin = max(self._predict_from[n] - chosen.start + chosen.step - 1, 0) // chosen.step
        end = max(self._stop[n] - chosen.start + chosen.step - 1, 0) // chosen.step
        return chosen[int(begin) : int(end)]

    def _whole(self, numbers: np.ndarray) -> np.ndarray:
        """Rows of the conversations that fit into one window: read up to the last turn that is predicted."""
        lengths, kind = np.unique(self._turns[numbers], return_inverse=True)
        chosen = [target_turns(self._train_on, int(turns)) for turns in lengths]
        begin = np.array([c[0] if len(c) else -1 for c in chosen], dtype=np.int64)[kind]
        stop = np.array([c[-1] + 1 if len(c) else 0 for c in chosen], dtype=np.int64)[kind]
        zeros = np.zeros_like(numbers)
        return np.stack([numbers, zeros, begin, stop, zeros], axis=1)[begin >= 0]

    def _split(
        self, numbers: np.ndarray, lengths: np.ndarray, persona: np.ndarray, *, max_length: int, context_share: float
    ) -> np.ndarray:
        """Rows of the conversations that do not fit into one window."""
        rows: list[tuple[int, int, int, int, int]] = []
        for number in numbers.tolist():
            try:
                room = room_for_turns(int(persona[number]), max_length)
            except ValueError:
                self.counts.dropped.append(number)
                continue
            start = self._first_turn[number]
            turn_lengths = lengths[start : start + self._turns[number]].tolist()
            found = split_into_windows(turn_lengths, room, train_on=self._train_on, context_share=context_share)
            rows.extend(_row(number, window) for window in found)
            self.counts.split += len(found) > 1
            self.counts.cut_turns += sum(window.cut > 0 for window in found)
        return np.array(rows, dtype=np.int64).reshape(-1, 5)


class WindowSet(WindowPlan):
    """The windows of all conversations of a store, laid out when they are read.

    Args:
        store: the conversations' token ids.
        sep_token_id: the separator.
        max_length, train_on, context_share: see `WindowPlan`.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        sep_token_id: int,
        max_length: int,
        train_on: TrainOn = "all",
        context_share: float = 0.5,
    ) -> None:
        super().__init__(store, max_length=max_length, train_on=train_on, context_share=context_share)
        self._store, self._sep_token_id = store, sep_token_id

    def words(self) -> int:
        """White-space separated words of all predicted turns: perplexity per word compares across vocabularies."""
        words = self._store.words
        return sum(
            int(words[self._first_turn[self._conversation[n]] + turn])
            for n in range(len(self))
            for turn in self._targets(n)
        )

    def predicted(self, n: int) -> tuple[int, range]:
        """The number of window `n`'s conversation, and those of the turns whose tokens are labels, in order."""
        return int(self._conversation[n]), self._targets(n)

    def read(self, numbers: Iterable[int]) -> list[ConversationSequence]:
        """The windows of these numbers, laid out, with labels."""
        return [self._read(int(n)) for n in numbers]

    def _read(self, n: int) -> ConversationSequence:
        conversation, first, stop = self._conversation[n], int(self._first[n]), int(self._stop[n])
        start = int(self._first_turn[conversation])
        turns = self._store.segments(start + first, start + stop)
        predicted = set(self._targets(n))
        return lay_out(
            turns,
            self._sep_token_id,
            persona=self._store.segments(int(self._store.first[conversation]), start),
            persona_type=(int(self._turns[conversation]) - 1 - first) % 2,
            predicted=[turn in predicted for turn in range(first, stop)],
            cut=int(self._cut[n]),
        )


def _row(number: int, window: Window) -> tuple[int, int, int, int, int]:
    return number, window.first, window.predict_from, window.stop, window.cut
