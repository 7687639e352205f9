"""Lightning data module of documents, for models that write documents."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convmodel.data.document import DocumentReader
from convmodel.data.reader import Source, format_count
from convmodel.tokens.batching import EMPTY, Batch, BatchSampler, ResumableDataLoader, TokenBudgetSampler
from convmodel.tokens.document_layout import DocumentLimits
from convmodel.tokens.document_windows import DocumentWindows, StoredDocuments, WindowSelection, document_segments
from convmodel.tokens.store import TokenStore
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.datamodules.base import (
    Files,
    FilesDataModule,
    ModelInputs,
    Split,
    pinned,
    tell_default_length,
    window_length,
)
from convmodel.training.metrics import CorpusStats

LENGTH_STEP = 1.01
MAX_PADDING = 0.02
"""Maximum share of padding in all tokens of an epoch, counted before metas are dropped."""


@dataclass(frozen=True)
class MetaDropout:
    """Batch sampler that marks random windows to be read without their meta.

    A draw depends only on the seed, the epoch and the window, so that a resumed run repeats it.

    Args:
        batches: Sampler of the batches.
        windows: Number of windows of the dataset.
        probability: Probability of each window to lose its meta.
        seed: Seed of the draws.
    """

    batches: BatchSampler
    windows: int
    probability: float
    seed: int

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, index: int) -> list[WindowSelection]:
        """Return the batches of an epoch; `index` is counted from 0."""
        # The third number makes these draws independent of the order of batches, whose seed is the first two.
        dropped = np.random.default_rng([self.seed, index, 1]).random(self.windows) < self.probability
        return [WindowSelection(indices, dropped[indices]) for indices in self.batches.epoch(index)]


class DocumentDataModule(FilesDataModule[DocumentWindows[StoredDocuments], Batch]):
    """Documents for a model that writes documents.

    Files are JSON Lines `{"body": ..., "meta": ...}`, the same objects in Python syntax, or plain text, optionally
    gzipped. `hub://...` is a dataset of the Hugging Face Hub. See docs/document-files.md. Tokens are cached on disk
    between runs.

    Args:
        train_file: Training documents: a file, a folder of .txt files, or hub://...
        valid_file: Validation documents; their loss selects the best model.
        test_file: Documents for `test`.
        format: Format of the files: jsonl, python, text (blank lines between documents), file (one document per file)
            or hub; detected if null.
        tokens_per_batch: Maximum number of tokens of a batch, padding included. Documents of similar length are batched
            together. Batches are made smaller if more than 2 % of all tokens would be padding.
        max_length: Maximum number of tokens of a window. If null, the model's own limit, but at most 1,024 for a
            pretrained model. A longer document is split into windows.
        max_meta_length: Maximum number of tokens of a document's meta; the end of a longer meta is cut. If null, the
            limit of the fine-tuned document model. For another model 64, but at most a quarter of the window.
        max_body_length: Maximum number of body tokens in a window. If null, the limit of the fine-tuned document model.
            For another model, or if the number exceeds the window, as many as fit beside the meta.
        overlap: Number of body tokens that each further window of a document repeats from the previous window. They are
            context, and are not predicted again.
        ignore_meta_prob: Probability that a window is read without its meta in training, so that the model also learns
            to write without a meta.
    """

    noun = "documents"
    to_segments = staticmethod(document_segments)

    def __init__(
        self,
        train_file: Files = None,
        valid_file: Files = None,
        test_file: Files = None,
        tokens_per_batch: int = 2048,
        max_length: int | None = None,
        max_meta_length: int | None = None,
        max_body_length: int | None = None,
        overlap: int = 64,
        ignore_meta_prob: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(train_file, valid_file, test_file, **options)
        if not 0 <= ignore_meta_prob <= 1:
            raise ValueError(f"data.ignore_meta_prob={ignore_meta_prob}; allowed are 0.0 to 1.0")
        self._tokens_per_batch = tokens_per_batch
        self._ignore_meta_prob = ignore_meta_prob
        self._max_length = max_length
        self._overlap = overlap
        self._max_meta_length = max_meta_length
        self._max_body_length = max_body_length

    def accept(self, tokenizer: TextTokenizer, inputs: ModelInputs) -> ModelInputs:
        super().accept(tokenizer, inputs)
        tell_default_length(self._max_length, inputs)
        limits = self.limits
        return replace(inputs, max_meta_length=limits.max_meta_length, max_body_length=limits.max_body_length)

    @property
    def limits(self) -> DocumentLimits:
        """Maximum lengths of window, meta and body: the user's, or else the model's. ValueError if they do not fit."""
        meta = self._max_meta_length
        body = self._max_body_length
        return DocumentLimits(
            max_length=window_length(self._max_length, self._inputs),
            max_meta_length=self._inputs.max_meta_length if meta is None else meta,
            max_body_length=self._inputs.max_body_length if body is None else body,
            overlap=self._overlap,
        )

    def corpus_stats(self, split: Split) -> CorpusStats:
        windows = self._sets[split]
        return CorpusStats("documents", windows.documents, {"word": windows.source.words, "byte": windows.source.bytes})

    def _reader(self, file: Source) -> DocumentReader:
        return DocumentReader(file, self._options)

    def _build_set(self, store: TokenStore, file: str) -> tuple[DocumentWindows[StoredDocuments], list[str]]:
        limits = self.limits
        try:
            windows = DocumentWindows(StoredDocuments(store), sep_token_id=self._tokenizer.sep_token_id, limits=limits)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
        split_note = f"{windows.split:,} longer than a window of {limits.max_length}, cut into windows"
        cut_note = f"{format_count(windows.cut_metas, 'meta')} cut to {limits.max_meta_length} tokens"
        return windows, [split_note if windows.split else "", cut_note if windows.cut_metas else ""]

    def _loader(self, split: str, *, shuffle: bool) -> ResumableDataLoader[Batch]:
        windows = self._sets[split]
        sampler = TokenBudgetSampler(
            windows.lengths,
            tokens_per_batch=self._tokens_per_batch,
            shuffle=shuffle,
            seed=self._seed,
            length_step=LENGTH_STEP,
            max_padding=MAX_PADDING,
        )
        probability = self._ignore_meta_prob if shuffle else 0.0
        batches = MetaDropout(sampler, len(windows), probability=probability, seed=self._seed)
        return ResumableDataLoader(
            batches, pinned(windows.read_batch), self._shard, empty=WindowSelection(EMPTY, EMPTY.astype(bool))
        )
