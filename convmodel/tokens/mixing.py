"""Mix a sample of other sequences into every epoch of a training set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convmodel.tokens.batching import TokenBudgetSampler


class StratifiedSample:
    """Sample of about `tokens` tokens from S sequences, different in each epoch, without replacement.

    The sequences are sorted by length and divided into as many strata as the sample has sequences; each epoch draws one
    sequence from each stratum. All samples have nearly the same number of tokens. A sequence is drawn again only
    after all others of its stratum. The sample of an epoch depends only on the seed and the epoch.

    Args:
        lengths: (S,) number of tokens of each sequence, at least 1.
        tokens: Number of tokens of a sample, at most those of all sequences.
        seed: Integers that seed the random order.
    """

    def __init__(self, lengths: np.ndarray, *, tokens: float, seed: Sequence[int]) -> None:
        count = min(len(lengths), max(1, round(tokens / float(lengths.mean()))))
        self._seed = seed
        self._order = np.argsort(lengths, kind="stable")
        self._bounds = np.arange(count + 1) * len(lengths) // count
        self._sizes = np.diff(self._bounds)
        self._stratum = np.repeat(np.arange(count), self._sizes)
        self.lengths = lengths[self._order][self._bounds[1:] - 1]
        """(N,) upper bounds of the lengths of a sample's N sequences, in tokens."""

    def __len__(self) -> int:
        return len(self._sizes)

    def epoch(self, index: int) -> np.ndarray:
        """Return the (N,) indices of an epoch's sequences."""
        sample = np.zeros(len(self), dtype=np.int64)
        for size in np.unique(self._sizes).tolist():  # at most two sizes
            turn, place = divmod(index, size)
            random = np.random.default_rng([*self._seed, turn, size])
            order = self._order[np.lexsort((random.random(len(self._order)), self._stratum))]
            strata = np.flatnonzero(self._sizes == size)
            sample[strata] = order[self._bounds[strata] + place]
        return sample


class MixedSampler:
    """Sampler of batches of all sequences of one set and a sample of others; see `TokenBudgetSampler`.

    Indices count the sequences of the first set, then those of the other sets, one set after another.

    Args:
        lengths: (S,) number of tokens of each sequence of the first set.
        others: Number of tokens of each sequence of the other sets.
        samples: The sample of each other set.
        options: See `TokenBudgetSampler`.
    """

    def __init__(
        self, lengths: np.ndarray, others: Sequence[np.ndarray], samples: Sequence[StratifiedSample], **options: Any
    ) -> None:
        self._offsets = np.cumsum([len(lengths), *map(len, others)])
        self._samples = samples
        self._batches = TokenBudgetSampler(
            np.concatenate([lengths, *(sample.lengths for sample in samples)]), shuffle=True, **options
        )

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, index: int) -> list[np.ndarray]:
        """Return the batches of an epoch, as the indices of their sequences."""
        samples = [start + sample.epoch(index) for start, sample in zip(self._offsets[:-1], self._samples, strict=True)]
        sequences = np.concatenate([np.arange(self._offsets[0]), *samples])
        return [sequences[batch] for batch in self._batches.epoch(index)]


def tokens_of_shares(tokens: int, shares: Mapping[str, float]) -> dict[str, float]:
    """Return the number of tokens of each part of a mixture, by name, from the shares of the parts.

    `tokens` is the number of tokens of the remaining part, whose share is 1 minus the sum of `shares`.
    """
    return {name: tokens * share / (1 - sum(shares.values())) for name, share in shares.items()}


def largest_share(tokens: int, name: str, available: int, shares: Mapping[str, float]) -> float:
    """Return the largest share of part `name` for which `available` tokens suffice with the other shares unchanged."""
    others = sum(share for other, share in shares.items() if other != name)
    return available * (1 - others) / (tokens + available)
