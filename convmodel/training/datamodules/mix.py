"""Other conversations that are mixed into the epochs of a training file: option, samples and batches."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from convmodel.tokens.batching import Batch
from convmodel.tokens.conversation_windows import WindowSet
from convmodel.tokens.mixing import MixedSampler, StratifiedSample, largest_share, tokens_of_shares


class Mix:
    """The sets of windows that are mixed into a training set, each with its share of an epoch's tokens.

    Raises ValueError for shares that are not between 0 and 1, or leave nothing for the training file.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.shares = shares
        self.sets: dict[str, WindowSet] = {}
        self._samples: list[StratifiedSample] = []
        for file, share in shares.items():
            if not 0 < share < 1:
                raise ValueError(f"data.mix: {file} has the share {share}; it must be above 0.0 and below 1.0")
        total = sum(shares.values())
        if total >= 1:
            raise ValueError(
                f"data.mix: the shares sum to {total:g}, which leaves nothing for data.train_file; "
                "their sum must be below 1.0"
            )

    def add(self, file: str, windows: WindowSet, *, tokens: int, seed: int) -> None:
        """Add the windows of a file to a training set of `tokens` tokens; ValueError if they are too few."""
        available = int(windows.lengths.sum())
        wanted = tokens_of_shares(tokens, self.shares)[file]
        if wanted > available:
            share = int(1000 * largest_share(tokens, file, available, self.shares)) / 1000
            raise ValueError(
                f"data.mix: {file} has {available:,} tokens, and a share of {self.shares[file]:g} takes {wanted:,.0f} "
                f"in each epoch; give a share of at most {share:g}, or a larger file"
            )
        self._samples.append(StratifiedSample(windows.lengths, tokens=wanted, seed=[seed, len(self._samples) + 1]))
        self.sets[file] = windows

    def describe(self, file: str) -> str:
        """Return what an epoch reads of a file that was added."""
        number = [*self.sets].index(file)
        counts = f"{len(self._samples[number]):,} of {len(self.sets[file]):,} windows"
        return f"{100 * self.shares[file]:g} % of the tokens of an epoch, {counts}"

    def batches(self, windows: WindowSet, **options: Any) -> tuple[MixedSampler, Callable[[np.ndarray], Batch]]:
        """Return a sampler of mixed batches of a training set, and the function that reads them."""
        sets = [windows, *self.sets.values()]
        offsets = np.cumsum([0, *map(len, sets)])

        def read(indices: np.ndarray) -> Batch:
            places = np.searchsorted(offsets, indices, side="right") - 1
            rows = [sets[place].read([index - offsets[place]])[0] for place, index in zip(places, indices, strict=True)]
            return windows.collate(rows)

        return MixedSampler(windows.lengths, [other.lengths for other in sets[1:]], self._samples, **options), read
