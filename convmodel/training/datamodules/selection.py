"""Conversation files and files with candidates in, batches of contexts and responses out: the LightningDataModule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast, runtime_checkable

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_info

from convmodel.data.conversation import ConversationReader
from convmodel.data.selection_example import SelectionReader, reader_of
from convmodel.tokens.batching import BatchSampler, RandomBatchSampler, ResumableDataLoader
from convmodel.tokens.selection_dataset import Ids, SelectionDataset, TokenisedChoice
from convmodel.training.datamodules.conversation import AsksForTokenizer, FilesDataModule, too_long_persona


@dataclass(frozen=True)
class SelectionBatch:
    """Examples that are read together.

    Args:
        examples: B of them; none where another process has the last batch.
        pool: how many candidates an example is ranked among, its response included; 0 in training.
    """

    examples: Sequence[TokenisedChoice]
    pool: int = 0


@runtime_checkable
class ReadsChoices(AsksForTokenizer, Protocol):
    """What the data module asks of the LightningModule that it feeds."""

    max_context: int


class SelectionDataModule(FilesDataModule[SelectionDataset, SelectionBatch]):
    """Contexts and responses for a model that chooses replies.

    Any conversation file does: each turn is a response to the turns before it, and the other responses of its batch are
    the negatives. Files with candidates give their own beside them: `{"context", "response", "distractors"}`,
    `{"persona", "turns", "candidates"}` with the real one last, ParlAI and ConvAI2 text, Ubuntu V2 CSV. See
    docs/selection.md. Tokens are kept on disk between runs.

    Args:
        train_file: Conversations or examples to learn from.
        valid_file: Those by which the best model is chosen.
        test_file: Those for `test`.
        batch_size: Examples of a batch: each response is a negative of all other contexts. Large batches learn better;
            with `model.cached_gradients` they need no more memory.
        distractors: How many of the candidates that a file gives are read with each example in training. They are
            candidates of the whole batch.
        pool: In validation and test each response is ranked among so many candidates: the first that the file gives,
            or responses of other examples.
        max_turns: The newest turns of a context that are read at most; all that fit when null.
        on_error: What to do with a line that cannot be read: "stop", or "skip" and count it.
        cache_dir: Where tokens are kept; `~/.cache/convmodel` (or $CONVMODEL_CACHE) when null.
    """

    def __init__(
        self,
        train_file: str | None = None,
        valid_file: str | None = None,
        test_file: str | None = None,
        batch_size: int = 64,
        distractors: int = 0,
        pool: int = 10,
        max_turns: int | None = None,
        on_error: Literal["stop", "skip"] = "stop",
        cache_dir: str | None = None,
    ) -> None:
        files = {"train": train_file, "valid": valid_file, "test": test_file}
        super().__init__(files, on_error=on_error, cache_dir=cache_dir)
        self.save_hyperparameters()
        for name, given, least in (("batch_size", batch_size, 2), ("distractors", distractors, 0), ("pool", pool, 2)):
            if given < least:
                raise ValueError(f"data.{name}={given}; it must be at least {least}")
        self._batch_size, self._distractors, self._pool, self._max_turns = batch_size, distractors, pool, max_turns

    def setup(self, stage: str) -> None:
        """Counts the examples."""
        assert self.trainer is not None
        if not isinstance(self.trainer.lightning_module, ReadsChoices):
            raise ValueError(
                f"data is a SelectionDataModule, but {type(self.trainer.lightning_module).__name__} writes replies; "
                "leave --data out, or choose a model of convmodel.training.selector_modules"
            )
        super().setup(stage)

    def transfer_batch_to_device(
        self, batch: SelectionBatch, device: torch.device, dataloader_idx: int
    ) -> SelectionBatch:
        """Leaves the ids where they are: rows are laid out and padded first."""
        return batch

    def _reader(self, file: str) -> ConversationReader | SelectionReader:
        return reader_of(file, on_error=self._on_error)

    def _laid_out(self, split: str) -> SelectionDataset:
        store = self._store(split)
        module = cast(ReadsChoices, self._asks)
        found = SelectionDataset(store, max_context=module.max_context, max_turns=self._max_turns)
        if len(found.dropped) and self._on_error == "stop":
            raise ValueError(
                too_long_persona(self._files[split], found.dropped[0], module.max_context, "model.max_context")
            )
        if not len(found):
            raise ValueError(f"{self._files[split]}: no conversation has a second turn, so there is no response in it")
        skipped = f"; {len(found.dropped):,} skipped for their long persona" if len(found.dropped) else ""
        self.described[split] = f"{store.summary.source}; {len(found):,} responses{skipped}"
        rank_zero_info(f"{split}: {self.described[split]}")
        return found

    def _loader(self, split: str, *, shuffle: bool) -> ResumableDataLoader[SelectionBatch]:
        choices, share = self._sets[split], self._share
        if shuffle:
            batches: BatchSampler[np.ndarray] = RandomBatchSampler(
                len(choices), batch_size=self._batch_size, seed=self._seed, share=share
            )
            return ResumableDataLoader(batches, lambda numbers: self._read(choices, numbers))
        # Drawn once: neighbours in a file are of one conversation, and would be hard to tell apart.
        batches = RandomBatchSampler(len(choices), batch_size=self._rank_at_once(), seed=0, share=share, redraw=False)
        return ResumableDataLoader(batches, lambda numbers: self._rank(choices, numbers))

    def _rank_at_once(self) -> int:
        """Examples of a batch in validation: whole pools."""
        return max(1, self._batch_size // self._pool) * self._pool

    def _read(self, choices: SelectionDataset, numbers: np.ndarray) -> SelectionBatch:
        return SelectionBatch(choices.read(numbers, distractors=self._distractors))

    def _rank(self, choices: SelectionDataset, numbers: np.ndarray) -> SelectionBatch:
        examples = choices.read(numbers, distractors=self._pool - 1)
        spare: list[Ids] = []
        if len(examples) < self._pool:
            missing = np.setdiff1d(np.arange(min(self._pool, len(choices))), numbers)
            spare = [one.response for one in choices.read(missing, distractors=0)]
        return SelectionBatch(list(_among(examples, spare, self._pool)), pool=self._pool)


def _among(examples: Sequence[TokenisedChoice], spare: Sequence[Ids], pool: int) -> Iterator[TokenisedChoice]:
    """Examples with distractors: their own, or the responses of their group, or where those are few, spare ones.

    A response that two of a group share is no distractor of either.
    """
    for number, one in enumerate(examples):
        start = max(0, min(number // pool * pool, len(examples) - pool))
        others = [*(other.response for other in examples[start : start + pool] if other is not one), *spare]
        given = one.distractors or [ids for ids in others if ids != one.response]
        yield replace(one, distractors=given[: pool - 1])
