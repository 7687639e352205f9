"""Histograms of lengths in tokens, and the windows and the padding of training."""

import numpy as np

from convmodel.reports.inspection.chunks import Chunk
from convmodel.tokens.batching import TokenBudgetSampler
from convmodel.tokens.conversation_windows import WindowPlan, beside_segments
from convmodel.tokens.turn_windows import LayoutCosts

LONGEST = 1 << 16
"""Lengths of at least this number are counted as this number."""

MAX_WINDOWS = 500_000
"""Maximum number of windows for which padding is computed. Of more windows, a sample is used."""

RANDOM_BATCH = 16
"""Number of windows of a random batch, with whose padding the trainer's is compared."""


class Lengths:
    """Histogram of lengths. `counts` has the number of occurrences of each length, from 0."""

    def __init__(self) -> None:
        self.counts = np.zeros(1, dtype=np.int64)
        self.total = 0
        self.longest = 0

    def add(self, lengths: np.ndarray) -> None:
        """Count lengths, which must not be negative."""
        if not len(lengths):
            return
        self.total += int(lengths.sum())
        self.longest = max(self.longest, int(lengths.max()))
        new = np.bincount(np.minimum(lengths, LONGEST), minlength=len(self.counts))
        new[: len(self.counts)] += self.counts
        self.counts = new

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean length; 0 without lengths."""
        return self.total / max(len(self), 1)

    def quantile(self, share: float) -> int:
        """Return the smallest length that at least this share of all lengths do not exceed; 0 without lengths."""
        if not len(self):
            return 0
        return int(np.searchsorted(np.cumsum(self.counts), share * len(self)))

    def between(self, edges: list[int]) -> list[int]:
        """Return the number of lengths in each interval [edge, next edge). The last interval has no upper bound."""
        sums = np.append(0, np.cumsum(self.counts))
        below = [int(sums[min(edge, len(sums) - 1)]) for edge in edges]
        return [b - a for a, b in zip(below, [*below[1:], len(self)], strict=True)]


def round_edges(longest: int, *, max_bins: int) -> list[int]:
    """Return the lower edges of at most `max_bins` equal bins, from 0, which contain `longest`.

    The width of the bins is a round number: 1, 2, 5, 10, ...
    """
    widths = (factor * 10**exponent for exponent in range(6) for factor in (1, 2, 5))
    width = next(width for width in widths if width * max_bins > longest)
    return list(range(0, longest + 1, width))


class WindowTally:
    """Counts the windows of at most `max_length` tokens into which training would split conversations."""

    def __init__(self, max_length: int, costs: LayoutCosts | None = None) -> None:
        self._max_length = max_length
        self._costs = costs
        self.lengths = Lengths()
        self.split = 0

    def add(self, chunk: Chunk, tokens: np.ndarray) -> list[int]:
        """Count the windows of a chunk.

        Args:
            chunk: the chunk.
            tokens: (S,) numbers of tokens of its segments.

        Returns:
            Indices of the conversations whose persona leaves no room for a turn.
        """
        plan = WindowPlan(
            tokens, first=chunk.first, prefix_segments=chunk.personas, max_length=self._max_length, costs=self._costs
        )
        self.lengths.add(plan.lengths)
        self.split += plan.counts.split
        return plan.counts.dropped


def laid_out_tokens(chunk: Chunk, tokens: np.ndarray, costs: LayoutCosts) -> np.ndarray:
    """Return the (S,) numbers of tokens of segments, including those that the layout adds to each of them."""
    taken: np.ndarray = tokens + beside_segments(costs, first=chunk.first, prefix_segments=chunk.personas)
    return taken


def conversation_tokens(chunk: Chunk, tokens: np.ndarray, costs: LayoutCosts) -> np.ndarray:
    """Return the (C,) numbers of tokens of conversations, including those that the layout adds."""
    is_odd = (np.diff(chunk.first) - chunk.personas) % 2 == 1
    edges = costs.edges_of(chunk.personas > 0, is_odd, np.ones_like(is_odd))
    taken: np.ndarray = np.add.reduceat(laid_out_tokens(chunk, tokens, costs), chunk.first[:-1]) + edges
    return taken


def cut_turns(chunk: Chunk, tokens: np.ndarray, *, max_length: int, costs: LayoutCosts | None = None) -> np.ndarray:
    """Return the indices of turns that do not fit in a window with the persona. Training cuts off their beginning."""
    costs = costs or LayoutCosts()
    taken = laid_out_tokens(chunk, tokens, costs)
    persona = np.bincount(chunk.owners, weights=taken * (chunk.turn_indices < 0)).astype(np.int64)
    edges = np.where(chunk.personas > 0, *(costs.edge(persona=has, is_open=False) for has in (True, False)))
    return np.flatnonzero((chunk.turn_indices >= 0) & (taken > max_length - (edges + persona)[chunk.owners]))


def padding_share(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """Return the share of padding in the tokens of batches; 0 without batches.

    Args:
        lengths: (N,) lengths of all sequences.
        batches: indices of the sequences of each batch.
    """
    useful = sum(int(lengths[batch].sum()) for batch in batches)
    read = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    return 1 - useful / max(read, 1) if read else 0.0


def budget_padding(windows: Lengths, *, tokens_per_batch: int) -> float:
    """Return the share of padding in the trainer's batches."""
    lengths = sample_lengths(windows)
    sampler = TokenBudgetSampler(lengths, tokens_per_batch=tokens_per_batch, shuffle=True)
    return padding_share(lengths, sampler.epoch(0))


def random_padding(windows: Lengths) -> float:
    """Return the share of padding in random batches of `RANDOM_BATCH` windows."""
    lengths = sample_lengths(windows)
    order = np.random.default_rng(0).permutation(len(lengths))
    return padding_share(lengths, [order[i : i + RANDOM_BATCH] for i in range(0, len(order), RANDOM_BATCH)])


def sample_lengths(windows: Lengths) -> np.ndarray:
    """Return the lengths of windows in ascending order; of more than `MAX_WINDOWS`, a proportional sample."""
    parts = -(-len(windows) // MAX_WINDOWS) or 1
    return np.repeat(np.arange(len(windows.counts)), -(-windows.counts // parts))
