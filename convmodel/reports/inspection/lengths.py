"""Token lengths in, histograms of bounded size and what windows and padding would cost out."""

from dataclasses import dataclass

import numpy as np

from convmodel.reports.inspection.chunks import Chunk
from convmodel.tokens.batching import TokenBudgetSampler
from convmodel.tokens.conversation_windows import WindowPlan

LONGEST = 1 << 16
"""Lengths from here on are counted together."""

DRAWN = 500_000
"""Windows at most for which padding is worked out; of more of them, a proportional part is."""

RANDOM_BATCH = 16
"""Rows of the random batches to which padding is compared."""


class Lengths:
    """Counts of lengths.

    Args:
        counts: how often each length came, from 0.
    """

    def __init__(self, counts: np.ndarray | None = None) -> None:
        self.counts = np.zeros(1, dtype=np.int64) if counts is None else counts
        self.total = 0
        self.longest = 0

    def add(self, lengths: np.ndarray) -> None:
        """Counts some lengths, none of them negative."""
        if not len(lengths):
            return
        self.total += int(lengths.sum())
        self.longest = max(self.longest, int(lengths.max()))
        new = np.bincount(np.minimum(lengths, LONGEST))
        if len(new) > len(self.counts):
            new[: len(self.counts)] += self.counts
            self.counts = new
        else:
            self.counts[: len(new)] += new

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """The mean; 0 for none."""
        return self.total / max(len(self), 1)

    def quantile(self, share: float) -> int:
        """The smallest length that at least this share of all do not exceed."""
        if not len(self):
            return 0
        return int(np.searchsorted(np.cumsum(self.counts), share * len(self)))

    def above(self, length: int) -> int:
        """How many are longer than `length`."""
        return int(self.counts[length + 1 :].sum())

    def between(self, edges: list[int]) -> list[int]:
        """How many lie in each [edge, next edge); the last one is open."""
        sums = np.append(0, np.cumsum(self.counts))
        below = [int(sums[min(edge, len(sums) - 1)]) for edge in edges]
        return [b - a for a, b in zip(below, [*below[1:], len(self)], strict=True)]


def round_edges(longest: int, *, most: int) -> list[int]:
    """Edges of at most `most` bins of one round width, from 0 until behind `longest`."""
    width = next(w for ten in (1, 10, 100, 1000, 10**4, 10**5) for w in (ten, 2 * ten, 5 * ten) if w * most > longest)
    return list(range(0, longest + 1, width))


@dataclass(frozen=True)
class SegmentTokens:
    """The tokens of a chunk's segments, as `WindowPlan` asks for them."""

    first: np.ndarray
    prefix_segments: np.ndarray
    tokens: np.ndarray

    def segment_lengths(self) -> np.ndarray:
        """Tokens of every segment, without separators."""
        return self.tokens


class WindowTally:
    """Counts the windows into which training would cut the conversations.

    Args:
        max_length: tokens of a window at most.
    """

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self.lengths = Lengths()
        self.split = 0

    def add(self, chunk: Chunk, tokens: np.ndarray) -> list[int]:
        """Counts a chunk whose segments have so many tokens.

        Returns:
            The numbers of its conversations whose persona leaves no room for a turn.
        """
        plan = WindowPlan(SegmentTokens(chunk.first, chunk.personas, tokens), max_length=self._max_length)
        self.lengths.add(plan.lengths)
        self.split += plan.counts.split
        return plan.counts.dropped


def cut_turns(chunk: Chunk, tokens: np.ndarray, *, max_length: int) -> np.ndarray:
    """The segments that are turns too long for a window beside the persona; those lose their beginning."""
    costs = tokens + 1
    persona = np.bincount(chunk.owners, weights=costs * (chunk.turn_numbers < 0)).astype(np.int64)
    return np.flatnonzero((chunk.turn_numbers >= 0) & (costs > max_length - 1 - persona[chunk.owners]))


def padding_share(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """The share of padding among the tokens of batches of sequences with these lengths; 0 for none."""
    useful = sum(int(lengths[batch].sum()) for batch in batches)
    read = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    return 1 - useful / max(read, 1) if read else 0.0


def budget_padding(windows: Lengths, *, tokens_per_batch: int) -> float:
    """The share of padding in batches as the trainer makes them."""
    lengths = drawn(windows)
    sampler = TokenBudgetSampler(lengths, tokens_per_batch=tokens_per_batch, shuffle=True)
    return padding_share(lengths, sampler.epoch(0))


def random_padding(windows: Lengths) -> float:
    """The share of padding in batches of RANDOM_BATCH windows drawn at random."""
    lengths = drawn(windows)
    order = np.random.default_rng(0).permutation(len(lengths))
    return padding_share(lengths, [order[i : i + RANDOM_BATCH] for i in range(0, len(order), RANDOM_BATCH)])


def drawn(windows: Lengths) -> np.ndarray:
    """Window lengths in ascending order: all of them, or a proportional part of very many."""
    parts = -(-len(windows) // DRAWN) or 1
    return np.repeat(np.arange(len(windows.counts)), -(-windows.counts // parts))
