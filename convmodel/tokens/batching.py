"""Group sequences of similar length into padded batches, and load them so that a run can resume at any batch."""

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

`metadata`, (B,) int64, is the number of a row's leading tokens that describe its text without being part of it, such as
a persona. An attention mask is not needed: in a causal model no token attends to tokens on its right.
"""

EMPTY = np.zeros(0, dtype=np.int64)
"""Indices of a batch without sequences."""

LENGTH_STEP = 1.04
"""Lengths that differ by less than this factor are shuffled together, which causes at most 4 % padding."""


class TokenBudgetSampler:
    """Sampler of batches of sequences of similar length, with at most `tokens_per_batch` tokens, padding included.

    Every epoch contains each sequence once. All epochs have the same number of batches. A sequence
    longer than the budget is a batch of its own.

    Args:
        lengths: number of tokens of each sequence, at least 1.
        shuffle: whether to regroup and reorder the batches in each epoch; otherwise they go from short to long.
        length_step: lengths that differ by less than this factor count as equal when they are shuffled.
        max_padding: maximum share of padding among all tokens of an epoch; batches are made smaller until it holds.
            It must be at least 1 - 1 / `length_step`, the padding that shuffling may cause. None for no limit.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        *,
        tokens_per_batch: int,
        shuffle: bool,
        seed: int = 0,
        length_step: float = LENGTH_STEP,
        max_padding: float | None = None,
    ) -> None:
        if max_padding is not None and max_padding < 1 - 1 / length_step:
            raise ValueError(f"max_padding={max_padding}; with length_step={length_step} it must be higher")
        if tokens_per_batch < 1:
            raise ValueError(f"tokens_per_batch={tokens_per_batch}; it must be at least 1")
        lengths = np.asarray(lengths, dtype=np.int64)
        if lengths.min(initial=1) < 1:
            raise ValueError(f"sequence {lengths.argmin()} has {lengths.min()} tokens; each must have at least 1")
        self._shuffle = shuffle
        self._seed = seed
        classes = np.ceil(np.log(lengths) / np.log(length_step)).astype(np.int64)
        self._order = np.lexsort((lengths, classes))
        self._class_of_position = classes[self._order]
        starts = np.flatnonzero(np.diff(self._class_of_position, prepend=-1))
        costs = shortest = np.zeros(0, dtype=np.int64)
        if len(starts):
            sizes = np.diff(np.append(starts, len(lengths)))
            costs = np.repeat(np.maximum.reduceat(lengths[self._order], starts), sizes)
            shortest = np.repeat(np.minimum.reduceat(lengths[self._order], starts), sizes)
        self._bounds = _batch_bounds_within_padding(costs, shortest, tokens_per_batch, max_padding)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def epoch(self, index: int) -> list[np.ndarray]:
        """Return the batches of an epoch, as the indices of their sequences."""
        order = self._order
        batches = np.arange(len(self))
        if self._shuffle:
            random = np.random.default_rng([self._seed, index])
            order = order[np.lexsort((random.random(len(order)), self._class_of_position))]
            batches = random.permutation(batches)
        return [order[self._bounds[b] : self._bounds[b + 1]] for b in batches]


def _batch_bounds_within_padding(
    costs: np.ndarray, shortest: np.ndarray, budget: int, max_padding: float | None
) -> np.ndarray:
    """Return the largest batches of `_batch_bounds` such that at most `max_padding` of all tokens are padding."""
    for share in (1.0,) if max_padding is None else (1.0, *np.geomspace(16, 1, 17) * max_padding):
        bounds = _batch_bounds(costs, shortest, budget, share)
        tokens = int((np.diff(bounds) * costs[bounds[1:] - 1]).sum())
        if max_padding is None or tokens - int(shortest.sum()) <= max_padding * tokens:
            break
    return bounds


def _batch_bounds(costs: np.ndarray, shortest: np.ndarray, budget: int, max_padding: float) -> np.ndarray:
    """Return the start of each batch, followed by the end of the last batch.

    Rows are in ascending order of cost, and a batch contains as many of them as the budget and `max_padding` allow.
    After shuffling, a row has at least `shortest` and at most `costs` tokens. `max_padding` is the largest share of
    padding in a batch.
    """
    known = np.append(0, np.cumsum(shortest))
    bounds = [0]
    start = 0
    while start < len(costs):
        rows = max(1, budget // int(costs[start]))
        # Costs ascend, so the cost of the first row gives an upper bound of the number of rows in the batch.
        ends = np.arange(start + 1, min(start + rows, len(costs)) + 1)
        tokens = costs[ends - 1] * (ends - start)
        fitting = ends[(tokens <= budget) & (tokens - known[ends] + known[start] <= max_padding * tokens)]
        stop = int(fitting[-1]) if len(fitting) else start + 1
        bounds.append(stop)
        start = stop
    return np.asarray(bounds)


def pad(rows: Sequence[ConversationSequence], *, pad_token_id: int) -> Batch:
    """Pad laid-out sequences on the right into one batch; without rows the batch is one row of padding without labels.

    The additional tensor `texts` (B, T) is true for tokens of the texts of turns, and false for tokens of the layout,
    names of speakers and padding. The batch has no `token_type_ids` if the rows have none.
    """
    batch = {
        "input_ids": pad_values([row.input_ids for row in rows], pad_token_id),
        "token_type_ids": pad_values([row.token_type_ids for row in rows], 0),
        "labels": pad_values([row.labels for row in rows], IGNORED),
        "metadata": torch.tensor([row.metadata for row in rows] or [0]),
    }
    batch["texts"] = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    for row, texts in zip(rows, batch["texts"], strict=False):
        for start, stop in row.spans:
            texts[start:stop] = True
        for start, stop in row.given:
            texts[start:stop] = False
    if batch["token_type_ids"].shape != batch["input_ids"].shape:
        del batch["token_type_ids"]
    return batch


def pad_values(rows: Sequence[Sequence[int] | np.ndarray], value: int) -> Tensor:
    """Stack rows into a (B, T) int64 tensor, padded on the right with `value`; (1, 1) without rows."""
    values = np.full((max(len(rows), 1), max(map(len, rows), default=1)), value, dtype=np.int64)
    for index, row in enumerate(rows):
        values[index, : len(row)] = row
    return torch.from_numpy(values)


def batches_by_length(
    lengths: Sequence[int] | np.ndarray,
    *,
    max_tokens: int | None = None,
    max_rows: int | None = None,
    equal_lengths: bool = False,
) -> Iterator[list[int]]:
    """Yield the indices of rows in batches of similar length, from short to long.

    `max_tokens` includes padding; a longer row is a batch of its own. With `equal_lengths`, no batch has padding.
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


@dataclass(frozen=True, kw_only=True)
class RandomBatchSampler:
    """Sampler of random batches of `batch_size` examples, of which the last may be smaller; see `TokenBudgetSampler`.

    With `redraw`, each epoch has different batches; otherwise all epochs are equal.
    """

    examples: int
    batch_size: int
    seed: int = 0
    redraw: bool = True

    def __len__(self) -> int:
        return math.ceil(self.examples / self.batch_size)

    def epoch(self, index: int) -> list[np.ndarray]:
        """Return the batches of an epoch, as the indices of their examples."""
        order = np.random.default_rng([self.seed, index if self.redraw else 0]).permutation(self.examples)
        return [order[start : start + self.batch_size] for start in range(0, self.examples, self.batch_size)]


@dataclass(frozen=True)
class Shard:
    """Share of one process in the batches that are still to be read: each `world_size`-th, from number `rank` on."""

    rank: int = 0
    world_size: int = 1


class BatchSampler(Protocol):
    """Sampler of the batches of an epoch; a batch is a value for `ResumableDataLoader`'s `read`, such as indices."""

    def __len__(self) -> int: ...

    def epoch(self, index: int) -> Sequence[Any]: ...


BatchT = TypeVar("BatchT")


class ResumableDataLoader(Generic[BatchT]):
    """An iterable of the batches of one process that can be continued after any batch, in any number of processes.

    If the batches do not divide evenly among processes, some get one empty batch at the end, so that all take the same
    number of steps. Lightning sets the epoch through `batch_sampler.sampler.set_epoch`, and saves and restores
    `state_dict`, which is the same in all processes.

    Args:
        sampler: sampler of the batches of all processes.
        read: function that reads a batch of the sampler.
        shard: share of this process.
        empty: batch of the sampler without sequences.
    """

    def __init__(
        self,
        sampler: BatchSampler,
        read: Callable[[Any], BatchT],
        shard: Shard = Shard(),
        empty: Any = EMPTY,
    ) -> None:
        self._sampler = sampler
        self._read = read
        self._shard = shard
        self._empty = empty
        self._epoch = 0
        self._position = 0  # number of batches that all processes together have read
        self._restored = False

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """The object on which Lightning looks for `sampler.set_epoch`."""
        return SimpleNamespace(sampler=self)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; ignored if `load_state_dict` has set it."""
        if not self._restored and epoch != self._epoch:
            self._epoch = epoch
            self._position = 0

    def __len__(self) -> int:
        return math.ceil(len(self._sampler) / self._shard.world_size)

    def __iter__(self) -> Iterator[BatchT]:
        if not self._restored:
            self._position = 0
        self._restored = False  # a restored position is used once: the next epoch begins at its first batch
        batches = self._sampler.epoch(self._epoch)
        while self._position < len(batches):
            own = self._position + self._shard.rank
            self._position = min(self._position + self._shard.world_size, len(batches))
            yield self._read(batches[own] if own < len(batches) else self._empty)

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch, the number of batches that all processes have read in it, and the number of its batches."""
        return {"epoch": self._epoch, "batches": self._position, "of": len(self._sampler)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration continue after the batches that the state counts as read.

        A state without "of", of an earlier version, counts the batches of one process.
        """
        position = state["batches"] * (1 if "of" in state else self._shard.world_size)
        epochs = int(position >= len(self._sampler) > 0)
        self._epoch = state["epoch"] + epochs
        self._position = 0 if epochs else position
        self._restored = True


def steps_taken(state: dict[str, int], processes: int) -> int:
    """Return the number of steps of an epoch that are not left to a number of processes; see `state_dict`."""
    return math.ceil(state["of"] / processes) - math.ceil((state["of"] - state["batches"]) / processes)
