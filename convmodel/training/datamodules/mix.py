"""Option `mix`: samples of other conversation files that are mixed into each epoch of the training file."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from convmodel.tokens.batching import Batch
from convmodel.tokens.conversation_windows import WindowSet
from convmodel.tokens.mixing import MixedSampler, StratifiedSample, largest_share, tokens_of_shares


class Mix:
    """Sets of windows that are mixed into a training set.

    Raises ValueError for a share that is not between 0 and 1, and for shares whose sum is not below 1.

    Args:
        shares: Share of an epoch's tokens of each mixed file, by its name.
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
        """Add the windows of a mixed file.

        `tokens` is the number of tokens of the training set. Raises ValueError if the file has fewer tokens than its
        share of an epoch.
        """
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
        """Return a description of the tokens and windows that an epoch reads of a mixed file."""
        number = [*self.sets].index(file)
        counts = f"{len(self._samples[number]):,} of {len(self.sets[file]):,} windows"
        return f"{100 * self.shares[file]:g} % of the tokens of an epoch, {counts}"

    def batches(self, windows: WindowSet, **options: Any) -> tuple[MixedSampler, Callable[[np.ndarray], Batch]]:
        """Return a sampler of batches of a training set and the mixed sets, and a function that reads its batches."""
        sets = [windows, *self.sets.values()]
        offsets = np.cumsum([0, *map(len, sets)])

        def read(indices: np.ndarray) -> Batch:
            places = np.searchsorted(offsets, indices, side="right") - 1
            rows = [sets[place].read([index - offsets[place]])[0] for place, index in zip(places, indices, strict=True)]
            return windows.collate(rows)

        return MixedSampler(windows.lengths, [other.lengths for other in sets[1:]], self._samples, **options), read
