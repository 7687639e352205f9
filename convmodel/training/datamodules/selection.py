"""Lightning data module of contexts and responses, for response selection."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from convmodel.data.conversation import ConversationReader
from convmodel.data.reader import Source
from convmodel.data.selection_example import SelectionReader, open_reader
from convmodel.tokens.batching import RandomBatchSampler, ResumableDataLoader
from convmodel.tokens.selection_dataset import Ids, SelectionDataset, TokenisedChoice
from convmodel.tokens.store import TokenStore
from convmodel.training.datamodules.base import Files, FilesDataModule, long_persona_message


@dataclass(frozen=True)
class SelectionBatch:
    """Batch of selection examples.

    Args:
        examples: The examples of this process. Another process may have one more.
        pool: Number of candidates among which each response is ranked in validation, including itself; 0 in training.
    """

    examples: Sequence[TokenisedChoice]
    pool: int = 0


class SelectionDataModule(FilesDataModule[SelectionDataset, SelectionBatch]):
    """Contexts and responses for a model that selects replies.

    Any conversation file works: each turn is a response to the turns before it, and the other responses of its batch
    are the negatives. Files with candidates add negatives: JSON Lines with the keys `context`, `response` and
    `distractors`, or `persona`, `turns` and `candidates` (the response last), text of ParlAI and ConvAI2, and CSV of
    Ubuntu V2. See docs/selection.md. Tokens are cached on disk between runs.

    Args:
        train_file: Training conversations or examples.
        valid_file: Validation conversations or examples, by which the best model is selected.
        test_file: Conversations or examples for `test`.
        batch_size: Number of examples of a batch. Each response is a negative of all other contexts of its batch, and
            of the batches of other processes in the same step. Larger batches train better models; with
            `model.cached_gradients` they need no more memory.
        distractors: Number of distractors that are read from the file with each example in training. They are
            negatives of all contexts of the batch.
        dialogue_negatives: Number of turns of the same conversation, other than the response, that are added to each
            example's distractors in training. They are chosen at random, and stay the same.
            Source: the same-dialogue class of BERT-FP's post-training (Han et al. 2021).
        pool: Number of candidates among which each response is ranked in validation and test, including itself. The
            others are the first distractors of the file, or responses of other examples.
        max_turns: Maximum number of turns of a context; older turns are dropped. If null, as many as fit.
    """

    def __init__(
        self,
        train_file: Files = None,
        valid_file: Files = None,
        test_file: Files = None,
        batch_size: int = 64,
        distractors: int = 0,
        dialogue_negatives: int = 0,
        pool: int = 10,
        max_turns: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(train_file, valid_file, test_file, **options)
        for name, value, minimum in (
            ("batch_size", batch_size, 2),
            ("distractors", distractors, 0),
            ("dialogue_negatives", dialogue_negatives, 0),
            ("pool", pool, 2),
        ):
            if value < minimum:
                raise ValueError(f"data.{name}={value}; it must be at least {minimum}")
        self._batch_size = batch_size
        self._negatives = {"distractors": distractors, "dialogue_negatives": dialogue_negatives}
        self._pool = pool
        self._max_turns = max_turns

    def transfer_batch_to_device(
        self, batch: SelectionBatch, device: torch.device, dataloader_idx: int
    ) -> SelectionBatch:
        """Return the batch unchanged: rows are laid out and padded before they go to the device."""
        return batch

    def _reader(self, file: Source) -> ConversationReader | SelectionReader:
        return open_reader(file, self._options)

    def _build_set(self, store: TokenStore, file: str) -> tuple[SelectionDataset, list[str]]:
        limit = self._inputs.max_length
        dataset = SelectionDataset(store, max_context=limit, max_turns=self._max_turns)
        if len(dataset.dropped) and self._on_error == "stop":
            raise ValueError(long_persona_message(file, dataset.dropped[0], limit, "model.max_context"))
        if not len(dataset):
            raise ValueError(f"{file}: no conversation has a second turn, so the file has no response")
        skipped = f"{len(dataset.dropped):,} skipped for their long persona" if len(dataset.dropped) else ""
        return dataset, [f"{len(dataset):,} responses", skipped]

    def _loader(self, split: str, *, shuffle: bool) -> ResumableDataLoader[SelectionBatch]:
        dataset = self._sets[split]
        if shuffle:
            batches = RandomBatchSampler(examples=len(dataset), batch_size=self._batch_size, seed=self._seed)
            return ResumableDataLoader(
                batches,
                lambda indices: SelectionBatch(dataset.read(indices, **self._negatives)),
                self._shard,
            )
        # Shuffled once: neighbours in a file come from one conversation, and would be unusually hard distractors.
        size = max(1, self._batch_size // self._pool) * self._pool  # a multiple of the pool's size
        batches = RandomBatchSampler(examples=len(dataset), batch_size=size, seed=0, redraw=False)
        return ResumableDataLoader(batches, lambda indices: self._read_ranking_batch(dataset, indices), self._shard)

    def _read_ranking_batch(self, dataset: SelectionDataset, indices: np.ndarray) -> SelectionBatch:
        examples = dataset.read(indices, distractors=self._pool - 1)
        spare: list[Ids] = []
        if len(examples) < self._pool:
            other_indices = np.setdiff1d(np.arange(min(self._pool, len(dataset))), indices)
            spare = [example.response for example in dataset.read(other_indices, distractors=0)]
        return SelectionBatch(list(_with_distractors(examples, spare, self._pool)), pool=self._pool)


def _with_distractors(examples: Sequence[TokenisedChoice], spare: list[Ids], pool: int) -> Iterator[TokenisedChoice]:
    """Yield each example with at most `pool` - 1 distractors.

    An example keeps its own distractors. Without them, it gets the other responses of its group of `pool` examples,
    then responses of `spare`, except those that equal its own response.
    """
    for index, example in enumerate(examples):
        start = max(0, min(index // pool * pool, len(examples) - pool))
        others = [*(other.response for other in examples[start : start + pool] if other is not example), *spare]
        distractors = example.distractors or [ids for ids in others if ids != example.response]
        yield replace(example, distractors=distractors[: pool - 1])
