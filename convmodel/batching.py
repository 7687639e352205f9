"""Token sequences in, padded batches out: similar lengths together under a token budget, resumable to the batch."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from convmodel.layout import IGNORED, Sequences

Batch = dict[str, Tensor]
"""`input_ids`, `token_type_ids`, `labels`, each (B, T) int64; padding is on the right and has label -100.

`metadata`, (B,) int64, is how many of a row's first tokens are about its text and no part of it.

There is no attention mask: a causal model's tokens never see what stands to their right, so padding changes nothing.
"""

LENGTH_STEP = 1.04
"""Lengths within one step of this ratio count as equal, and are shuffled among each other: at most 4 % padding."""


@dataclass(frozen=True)
class Share:
    """Which batches one of several processes reads: those whose number is `rank` modulo `world_size`."""

    rank: int = 0
    world_size: int = 1


class TokenBudgetSampler:
    """Groups sequences of similar length into batches of at most `tokens_per_batch` tokens, padding included.

    Every epoch holds each sequence once, in the same number of batches, differently grouped and ordered. A sequence
    longer than the budget is a batch of its own.

    Args:
        lengths: tokens of each sequence.
        tokens_per_batch: the budget, rows x longest row.
        shuffle: whether each epoch is drawn anew; without it batches go from short to long.
        seed: what the epochs are drawn from.
        share: which batches this process reads. Where the batches do not divide evenly, some processes get one empty
            batch at the end, so that all make the same number of steps.

    Raises:
        ValueError: when the budget or a length is below 1.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        *,
        tokens_per_batch: int,
        shuffle: bool,
        seed: int = 0,
        share: Share = Share(),
    ) -> None:
        if tokens_per_batch < 1:
            raise ValueError(f"tokens_per_batch={tokens_per_batch}; it must be at least 1")
        lengths = np.asarray(lengths, dtype=np.int64)
        if lengths.min(initial=1) < 1:
            raise ValueError(f"sequence {lengths.argmin()} has {lengths.min()} tokens; each must have at least 1")
        self._shuffle, self._seed, self._share = shuffle, seed, share
        classes = np.ceil(np.log(lengths) / np.log(LENGTH_STEP)).astype(np.int64)
        self._order = np.lexsort((lengths, classes))
        self._class_of_place = classes[self._order]
        starts = np.flatnonzero(np.diff(self._class_of_place, prepend=-1))
        costs = np.zeros(0, dtype=np.int64)
        if len(starts):
            longest = np.maximum.reduceat(lengths[self._order], starts)
            costs = np.repeat(longest, np.diff(np.append(starts, len(lengths))))
        self._bounds = _cut(costs, tokens_per_batch)

    def __len__(self) -> int:
        """Batches that this process reads in an epoch."""
        return -(-(len(self._bounds) - 1) // self._share.world_size)

    def epoch(self, number: int) -> list[np.ndarray]:
        """The batches of an epoch for this process, as the indices of their sequences."""
        order, batches = self._order, np.arange(len(self._bounds) - 1)
        if self._shuffle:
            random = np.random.default_rng([self._seed, number])
            order = order[np.lexsort((random.random(len(order)), self._class_of_place))]
            batches = random.permutation(batches)
        mine = batches[self._share.rank :: self._share.world_size]
        found = [order[self._bounds[b] : self._bounds[b + 1]] for b in mine]
        return found + [order[:0]] * (len(self) - len(found))


def _cut(costs: np.ndarray, budget: int) -> np.ndarray:
    """Where batches begin (and the last one ends) when rows of ascending cost are filled up to the budget."""
    bounds, start = [0], 0
    while start < len(costs):
        stop = start + 1
        rows = max(1, budget // int(costs[start]))
        # Costs ascend, so a batch that begins here never holds more rows than its first row's cost allows.
        ends = np.arange(start + 1, min(start + rows, len(costs)) + 1)
        fitting = ends[costs[ends - 1] * (ends - start) <= budget]
        stop = int(fitting[-1]) if len(fitting) else stop
        bounds.append(stop)
        start = stop
    return np.asarray(bounds)


def pad(rows: Sequence[Sequences], *, pad_token_id: int) -> Batch:
    """Pads laid-out sequences on the right into one batch; no rows give one row of padding, which predicts nothing."""
    longest = max((len(row.input_ids) for row in rows), default=1)
    shape = (max(len(rows), 1), longest)
    ids, types = np.full(shape, pad_token_id), np.zeros(shape, dtype=np.int64)
    labels = np.full(shape, IGNORED)
    for number, row in enumerate(rows):
        length = len(row.input_ids)
        ids[number, :length] = row.input_ids
        types[number, :length] = row.token_type_ids
        labels[number, :length] = row.labels
    return {
        "input_ids": torch.from_numpy(ids),
        "token_type_ids": torch.from_numpy(types),
        "labels": torch.from_numpy(labels),
        "metadata": torch.tensor([row.metadata for row in rows] or [0]),
    }


class RandomBatches:
    """Groups examples at random into batches of one size, the last one smaller.

    Args:
        examples: how many there are.
        batch_size: of each batch.
        seed: what the epochs are drawn from.
        share: which batches this process reads, as for `TokenBudgetSampler`.
        redraw: whether each epoch is drawn anew.
    """

    def __init__(
        self, examples: int, *, batch_size: int, seed: int = 0, share: Share = Share(), redraw: bool = True
    ) -> None:
        self._examples, self._batch_size = examples, batch_size
        self._seed, self._share, self._redraw = seed, share, redraw

    def __len__(self) -> int:
        """Batches that this process reads in an epoch."""
        return math.ceil(math.ceil(self._examples / self._batch_size) / self._share.world_size)

    def epoch(self, number: int) -> list[np.ndarray]:
        """The batches of an epoch for this process, as the indices of their examples."""
        order = np.random.default_rng([self._seed, number if self._redraw else 0]).permutation(self._examples)
        starts = range(self._share.rank * self._batch_size, self._examples, self._share.world_size * self._batch_size)
        found = [order[start : start + self._batch_size] for start in starts]
        return found + [order[:0]] * (len(self) - len(found))


class Batches(Protocol):
    """What stands together in each batch of an epoch."""

    def __len__(self) -> int:
        """Batches of an epoch."""

    def epoch(self, number: int) -> list[np.ndarray]:
        """The batches of an epoch, as the indices of what stands in them."""


Made = TypeVar("Made")


class BatchLoader(Generic[Made]):
    """An iterable of batches that can be stopped after any batch and go on in another process, exactly.

    Args:
        sampler: which sequences stand together.
        read: gives one batch for their indices.

    Lightning sets the epoch through `batch_sampler.sampler.set_epoch`, saves `state_dict` in its checkpoints and gives
    it back.
    """

    def __init__(self, sampler: Batches, read: Callable[[np.ndarray], Made]) -> None:
        self._sampler, self._read = sampler, read
        self._epoch = 0
        self._next_batch = 0
        self._restored = False

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Where Lightning looks for something to tell of a new epoch."""
        return SimpleNamespace(sampler=self)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration draws; a restored place has chosen already."""
        if not self._restored and epoch != self._epoch:
            self._epoch, self._next_batch = epoch, 0

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Made]:
        if not self._restored:
            self._next_batch = 0
        self._restored = False  # a restored place is used once: the next epoch begins at its first batch
        for indices in self._sampler.epoch(self._epoch)[self._next_batch :]:
            self._next_batch += 1
            yield self._read(indices)

    def state_dict(self) -> dict[str, Any]:
        """The epoch and how many of its batches were given out."""
        return {"epoch": self._epoch, "batches": self._next_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next iteration go on after the batches that were given out."""
        epochs, self._next_batch = divmod(state["batches"], max(len(self), 1))
        self._epoch = state["epoch"] + epochs
        self._restored = True
