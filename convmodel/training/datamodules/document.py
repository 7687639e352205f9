"""Document files or Hub data sets in, batches of laid-out windows out: the LightningDataModule."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_info

from convmodel.data.document import Document, DocumentReader, meta_text
from convmodel.data.reader import count
from convmodel.tokens.batching import Batch, BatchSampler, ResumableDataLoader, padded
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.document_layout import DocumentWindows, Limits
from convmodel.tokens.document_store import StoredDocuments, StoredWindows, parts
from convmodel.training.datamodules.conversation import AsksForTokenizer, FilesDataModule, pinned, window_length

LENGTH_STEP = 1.01
MOST_PADDING = 0.02
"""The share of all tokens of an epoch that may be padding, as long as every meta stands in its window."""

Split = Literal["train", "valid", "test"]


class ReadsDocuments(AsksForTokenizer, Protocol):
    """What the data module asks of the LightningModule that it feeds."""

    @property
    def n_positions(self) -> int:
        """Tokens that the model can read at once."""

    @property
    def max_meta_length(self) -> int:
        """Tokens of a meta that it reads where nobody says otherwise."""

    @property
    def max_body_length(self) -> int | None:
        """Tokens of a body that it reads together where nobody says otherwise; None is what fits."""


@dataclass(frozen=True)
class ChosenWindows:
    """The windows of a batch.

    Args:
        numbers: (B,) which they are.
        without_meta: (B,) whether the meta of each is left out.
    """

    numbers: np.ndarray
    without_meta: np.ndarray


class MetaDropout:
    """Batches of windows, some of which lose their meta: drawn for each epoch and window, whatever is read before.

    Args:
        batches: of an epoch.
        windows: how many there are.
        probability: of losing the meta.
        seed: what is drawn from.
    """

    def __init__(self, batches: BatchSampler[np.ndarray], windows: int, *, probability: float, seed: int) -> None:
        self._batches, self._windows, self._probability, self._seed = batches, windows, probability, seed

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._batches)

    def epoch(self, number: int) -> list[ChosenWindows]:
        """The batches of an epoch."""
        # The third number keeps these draws apart from those of the order, which come from the first two.
        drawn = np.random.default_rng([self._seed, number, 1]).random(self._windows) < self._probability
        return [ChosenWindows(numbers, drawn[numbers]) for numbers in self._batches.epoch(number)]


class DocumentDataModule(FilesDataModule[StoredWindows, Batch]):
    """Documents for a model that writes documents.

    Files are JSON Lines `{"body": ..., "meta": ...}`, the same as Python prints it, or plain text, all of them gzipped
    too; `hub://...` is a data set of the Hugging Face Hub. See docs/document-files.md. Tokens are kept on disk between
    runs.

    Args:
        train_file: Documents to learn from: a file, a folder of .txt files, or hub://...
        valid_file: Documents by whose loss the best model is chosen.
        test_file: Documents for `test`.
        format: What the files are: jsonl, python, text (blank lines between documents), file (one document a file), or
            hub; recognised when null.
        tokens_per_batch: Tokens of a batch at most, padding included. Documents of like length stand together, and
            batches are smaller where more than 2 % of all tokens would be padding.
        max_length: Tokens of a window at most; the model's own window when null. A longer document is cut into windows.
        max_meta_length: Tokens of a document's meta at most; the rest is cut from its end. When null, as many as the
            document model that is fine-tuned reads, else 64, but no more than a quarter of the window.
        max_body_length: Tokens of the body in a window at most. When null, as many as the document model that is
            fine-tuned reads together, else what fits beside the meta; a number beyond the window is what fits.
        overlap: Tokens that each further window of a document repeats of the one before, only to be read.
        ignore_meta_prob: How often a document is read without its meta in training, so that the model also writes
            without one.
        on_error: What to do with what is no document: "stop", or "skip" and count it.
        cache_dir: Where tokens are kept; `~/.cache/convmodel` (or $CONVMODEL_CACHE) when null.
    """

    noun = "documents"

    def __init__(
        self,
        train_file: str | None = None,
        valid_file: str | None = None,
        test_file: str | None = None,
        format: str | None = None,
        tokens_per_batch: int = 2048,
        max_length: int | None = None,
        max_meta_length: int | None = None,
        max_body_length: int | None = None,
        overlap: int = 64,
        ignore_meta_prob: float = 0.1,
        on_error: Literal["stop", "skip"] = "stop",
        cache_dir: str | None = None,
    ) -> None:
        files = {"train": train_file, "valid": valid_file, "test": test_file}
        super().__init__(files, on_error=on_error, cache_dir=cache_dir)
        self.save_hyperparameters()
        if not 0 <= ignore_meta_prob <= 1:
            raise ValueError(f"data.ignore_meta_prob={ignore_meta_prob}; allowed are 0.0 to 1.0")
        self._format, self._tokens_per_batch, self._ignore_meta_prob = format, tokens_per_batch, ignore_meta_prob
        self._max_length, self._overlap = max_length, overlap
        self._max_meta_length, self._max_body_length = max_meta_length, max_body_length

    @property
    def limits(self) -> Limits:
        """How much of a document stands in a window of the model that is fed.

        Raises:
            ValueError: when that is nothing, or more than the model can read.
        """
        model = cast(ReadsDocuments, self._asks)
        meta, body = self._max_meta_length, self._max_body_length
        return Limits(
            max_length=window_length(self._max_length, model.n_positions),
            max_meta_length=model.max_meta_length if meta is None else meta,
            max_body_length=model.max_body_length if body is None else body,
            overlap=self._overlap,
        )

    def window_set(self, split: Split) -> StoredWindows:
        """The laid-out windows of a file that was set up."""
        return self._sets[split]

    def documents(self, split: Split) -> Iterator[Document]:
        """The documents of a file, read anew; none when there is no such file."""
        file = self._files[split]
        return iter(()) if file is None else iter(self._reader(file))

    def _reader(self, file: str) -> DocumentReader:
        return DocumentReader(file, format=self._format, on_error=self._on_error)

    _parts = staticmethod(parts)

    @staticmethod
    def _texts(one: Any) -> Iterator[str]:
        """What a vocabulary is learned from."""
        assert isinstance(one, Document)
        yield from filter(None, [meta_text(one.meta), one.body])

    def _laid_out(self, split: str) -> StoredWindows:
        store, limits = self._store(split), self.limits
        try:
            found = StoredWindows(StoredDocuments(store), sep_token_id=self._tokenizer.sep_token_id, limits=limits)
        except ValueError as error:
            raise ValueError(f"{self._files[split]}: {error}") from None
        notes = [
            f"{found.split:,} longer than a window of {limits.max_length}, cut into windows" if found.split else "",
            f"{count(found.cut_metas, 'meta')} cut to {limits.max_meta_length} tokens" if found.cut_metas else "",
        ]
        self.described[split] = "; ".join([store.summary.source, *filter(None, notes)])
        rank_zero_info(f"{split}: {self.described[split]}")
        return found

    def _loader(self, split: str, *, shuffle: bool) -> ResumableDataLoader[Batch]:
        windows = self._sets[split]
        sampler = self._by_length(
            windows.lengths,
            self._tokens_per_batch,
            shuffle=shuffle,
            length_step=LENGTH_STEP,
            most_padding=MOST_PADDING,
        )
        probability = self._ignore_meta_prob if shuffle else 0.0
        batches = MetaDropout(sampler, len(windows), probability=probability, seed=self._seed)
        return ResumableDataLoader(batches, partial(read_batch, windows, self._tokenizer.sep_token_id))


def read_batch(windows: DocumentWindows, pad_token_id: int, chosen: ChosenWindows) -> Batch:
    """Windows laid out and padded on the right, without token types.

    `metadata`, (B,) int64, is how many of a row's first tokens are no part of the body.
    """
    rows = windows.read(chosen.numbers, chosen.without_meta)
    return pinned(
        {
            "input_ids": padded([row.input_ids for row in rows], pad_token_id),
            "labels": padded([row.labels for row in rows], IGNORED),
            "metadata": torch.tensor([row.metadata for row in rows] or [0]),
        }
    )
