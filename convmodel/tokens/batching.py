"""Token sequences in, padded batches out: similar lengths together under a token budget, resumable to the batch."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from convmodel.tokens.conversation_layout import IGNORED, ConversationSequence

Batch = dict[str, Tensor]
"""`input_ids`, `token_type_ids` (not of documents), `labels`, each (B, T) int64; padding is on the right, label -100.

`metadata`, (B,) int64, is how many of a row's first tokens are about its text and no part of it.

There is no attention mask: a causal model's tokens never see what stands to their right, so padding changes nothing.
"""

LENGTH_STEP = 1.04
"""Lengths within one step of this ratio count as equal, and are shuffled among each other: at most 4 % padding."""


@dataclass(frozen=True)
class Shard:
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
        length_step: lengths within one step of this ratio count as equal.
        most_padding: the share of all tokens that may be padding, in whatever epoch; batches are made smaller until it
            is kept. None fills every batch.

    Raises:
        ValueError: when the budget or a length is below 1, or `most_padding` is less than shuffling alone may take.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        *,
        tokens_per_batch: int,
        shuffle: bool,
        seed: int = 0,
        shard: Shard = Shard(),
        length_step: float = LENGTH_STEP,
        max_padding: float | None = None,
    ) -> None:
        if max_padding is not None and max_padding < 1 - 1 / length_step:
            raise ValueError(f"most_padding={max_padding}; with length_step={length_step} it must be higher")
        if tokens_per_batch < 1:
            raise ValueError(f"tokens_per_batch={tokens_per_batch}; it must be at least 1")
        lengths = np.asarray(lengths, dtype=np.int64)
        if lengths.min(initial=1) < 1:
            raise ValueError(f"sequence {lengths.argmin()} has {lengths.min()} tokens; each must have at least 1")
        self._shuffle, self._seed, self._share = shuffle, seed, shard
        classes = np.ceil(np.log(lengths) / np.log(length_step)).astype(np.int64)
        self._order = np.lexsort((lengths, classes))
        self._class_of_place = classes[self._order]
        starts = np.flatnonzero(np.diff(self._class_of_place, prepend=-1))
        costs = shortest = np.zeros(0, dtype=np.int64)
        if len(starts):
            sizes = np.diff(np.append(starts, len(lengths)))
            costs = np.repeat(np.maximum.reduceat(lengths[self._order], starts), sizes)
            shortest = np.repeat(np.minimum.reduceat(lengths[self._order], starts), sizes)
        self._bounds = _cut_within(costs, shortest, tokens_per_batch, max_padding)

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


def _cut_within(costs: np.ndarray, shortest: np.ndarray, budget: int, most_padding: float | None) -> np.ndarray:
    """As `_cut`, with batches just small enough that at most a share of all tokens is padding."""
    for share in (1.0,) if most_padding is None else (1.0, *np.geomspace(16, 1, 17) * most_padding):
        bounds = _cut(costs, shortest, budget, share)
        tokens = int((np.diff(bounds) * costs[bounds[1:] - 1]).sum())
        if most_padding is None or tokens - int(shortest.sum()) <= most_padding * tokens:
            break
    return bounds


def _cut(costs: np.ndarray, shortest: np.ndarray, budget: int, most_padding: float) -> np.ndarray:
    """Where batches begin (and the last one ends) when rows of ascending cost are filled up to the budget.

    Args:
        costs: tokens that a row may have; where rows are shuffled, the most.
        shortest: the fewest.
        budget: of a batch.
        most_padding: the share of a batch that may be padding.
    """
    known = np.append(0, np.cumsum(shortest))
    bounds, start = [0], 0
    while start < len(costs):
        stop = start + 1
        rows = max(1, budget // int(costs[start]))
        # Costs ascend, so a batch that begins here never holds more rows than its first row's cost allows.
        ends = np.arange(start + 1, min(start + rows, len(costs)) + 1)
        tokens = costs[ends - 1] * (ends - start)
        fitting = ends[(tokens <= budget) & (tokens - known[ends] + known[start] <= most_padding * tokens)]
        stop = int(fitting[-1]) if len(fitting) else stop
        bounds.append(stop)
        start = stop
    return np.asarray(bounds)


def pad(rows: Sequence[ConversationSequence], *, pad_token_id: int) -> Batch:
    """Pads laid-out sequences on the right into one batch; no rows give one row of padding, which predicts nothing."""
    return {
        "input_ids": pad_values([row.input_ids for row in rows], pad_token_id),
        "token_type_ids": pad_values([row.token_type_ids for row in rows], 0),
        "labels": pad_values([row.labels for row in rows], IGNORED),
        "metadata": torch.tensor([row.metadata for row in rows] or [0]),
    }


def pad_values(rows: Sequence[Sequence[int] | np.ndarray], value: int) -> Tensor:
    """Rows of numbers as one (B, T) int64 tensor, `value` to the right of the shorter ones; no rows give one of it."""
    values = np.full((max(len(rows), 1), max(map(len, rows), default=1)), value, dtype=np.int64)
    for number, row in enumerate(rows):
        values[number, : len(row)] = row
    return torch.from_numpy(values)


def batches_by_length(
    lengths: Sequence[int] | np.ndarray,
    *,
    max_tokens: int | None = None,
    max_rows: int | None = None,
    equal_lengths: bool = False,
) -> Iterator[list[int]]:
    """Yield the indices of rows in batches of similar length, from short to long.

    Args:
        lengths: number of tokens of each row.
        max_tokens: maximum number of tokens of a batch, padding included; a longer row is a batch of its own.
        max_rows: maximum number of rows of a batch, at least 1.
        equal_lengths: whether all rows of a batch must have the same length.
    """
    batch: list[int] = []
    for index in np.argsort(np.asarray(lengths), kind="stable").tolist():
        length = int(lengths[index])
        is_full = len(batch) > 0 and (
            len(batch) == max_rows
            or (max_tokens is not None and (len(batch) + 1) * length > max_tokens)
            or (equal_lengths and length != lengths[batch[0]])
        )
        if is_full:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class RandomBatchSampler:
    """Groups examples at random into batches of one size, the last one smaller.

    Args:
        examples: how many there are.
        batch_size: of each batch.
        seed: what the epochs are drawn from.
        share: which batches this process reads, as for `TokenBudgetSampler`.
        redraw: whether each epoch is drawn anew.
    """

    def __init__(
        self, examples: int, *, batch_size: int, seed: int = 0, shard: Shard = Shard(), redraw: bool = True
    ) -> None:
        self._examples, self._batch_size = examples, batch_size
        self._seed, self._share, self._redraw = seed, shard, redraw

    def __len__(self) -> int:
        """Batches that this process reads in an epoch."""
        return math.ceil(math.ceil(self._examples / self._batch_size) / self._share.world_size)

    def epoch(self, number: int) -> list[np.ndarray]:
        """The batches of an epoch for this process, as the indices of their examples."""
        order = np.random.default_rng([self._seed, number if self._redraw else 0]).permutation(self._examples)
        starts = range(self._share.rank * self._batch_size, self._examples, self._share.world_size * self._batch_size)
        found = [order[start : start + self._batch_size] for start in starts]
        return found + [order[:0]] * (len(self) - len(found))


BatchIndices = TypeVar("Chosen", covariant=True)


class BatchSampler(Protocol[BatchIndices]):
    """What stands together in each batch of an epoch."""

    def __len__(self) -> int:
        """Batches of an epoch."""

    def epoch(self, number: int) -> Sequence[BatchIndices]:
        """The batches of an epoch: the indices of what stands in them, or whatever else tells what is to be read."""


BatchT = TypeVar("Made")


class ResumableDataLoader(Generic[BatchT]):
    """An iterable of batches that can be stopped after any batch and go on in another process, exactly.

    Args:
        sampler: which sequences stand together.
        read: gives one batch for what the sampler says of it.

    Lightning sets the epoch through `batch_sampler.sampler.set_epoch`, saves `state_dict` in its checkpoints and gives
    it back.
    """

    def __init__(self, sampler: BatchSampler[Any], read: Callable[[Any], BatchT]) -> None:
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

    def __iter__(self) -> Iterator[BatchT]:
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
