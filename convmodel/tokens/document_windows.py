"""Split documents into windows in which every body token is predicted exactly once, and lay the windows out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from convmodel.data.document import Document, format_meta
from convmodel.tokens.batching import Batch, pad_values
from convmodel.tokens.conversation_layout import IGNORED
from convmodel.tokens.document_layout import DocumentLimits, DocumentSequence, Ids, lay_out_document
from convmodel.tokens.store import Segments, TokenStore


class DocumentPlan:
    """Division of D documents into W windows, computed from the lengths (D,) of their metas and bodies alone.

    Raises ValueError if a document must be split and its meta leaves no room.

    Attributes:
        document: (W,) index of the document of each window, ascending.
        first: (W,) index of the first body token in the window.
        predict_from: (W,) index of the first body token that is predicted.
        stop: (W,) index after the last body token.
        ends: (W,) whether the document ends in the window.
        kept_meta_lengths: (D,) number of tokens that each meta takes in a window.
        lengths: (W,) number of tokens of each window.
        cut_metas: number of metas that are cut.
        documents: number D of documents.
        split: number of documents that are longer than a window.
        predicted: number of predicted tokens: all body tokens and the ends of the documents.
    """

    def __init__(self, meta_lengths: Ids, body_lengths: Ids, limits: DocumentLimits) -> None:
        body = np.asarray(body_lengths, dtype=np.int64)
        metas = np.asarray(meta_lengths, dtype=np.int64)
        self.kept_meta_lengths = np.minimum(metas, limits.max_meta_length)
        self.cut_metas = int((metas > self.kept_meta_lengths).sum())
        full = limits.room(self.kept_meta_lengths)
        last = limits.room(self.kept_meta_lengths, end=1)
        split = body > last
        if split.any():
            limits.check(int(self.kept_meta_lengths[split].max()))
        # A window after the first takes `step` new tokens; the one that ends the document takes as many as leave room
        # for the separator.
        step = np.maximum(full - limits.overlap, 1)
        rest = np.maximum(body - full - (last - limits.overlap), 0)
        windows = np.where(split, 2 + -(-rest // step), 1)
        self.document = np.repeat(np.arange(len(body)), windows)
        position = np.arange(len(self.document)) - np.repeat(np.cumsum(windows) - windows, windows)
        full = full[self.document]
        step = step[self.document]
        self.ends = position == windows[self.document] - 1
        self.predict_from = np.where(position == 0, 0, full + (position - 1) * step)
        self.stop = np.where(self.ends, body[self.document], full + position * step)
        self.stop = np.minimum(self.stop, body[self.document])
        self.first = np.maximum(self.predict_from - limits.overlap, 0)
        self.lengths = 2 + self.kept_meta_lengths[self.document] + self.stop - self.first + self.ends
        self.documents = len(body)
        self.split = int(split.sum())
        self.predicted = int(body.sum()) + len(body)

    def __len__(self) -> int:
        return len(self.document)


@dataclass(frozen=True)
class EncodedDocuments:
    """Token ids of the metas (empty where a document has none) and bodies of D documents in memory."""

    metas: Sequence[Ids]
    bodies: Sequence[Ids]

    @property
    def meta_lengths(self) -> np.ndarray:
        """(D,) number of tokens of each meta."""
        return np.fromiter(map(len, self.metas), dtype=np.int64)

    @property
    def body_lengths(self) -> np.ndarray:
        """(D,) number of tokens of each body."""
        return np.fromiter(map(len, self.bodies), dtype=np.int64)

    def meta(self, document: int, stop: int) -> Ids:
        """Return the first `stop` ids of a meta."""
        return self.metas[document][:stop]

    def body(self, document: int, start: int, stop: int) -> Ids:
        """Return the ids of a body from `start` up to `stop`."""
        return self.bodies[document][start:stop]


class StoredDocuments:
    """Token ids of the documents of a store that was built with `document_segments`.

    Attributes:
        meta_lengths: (D,) number of tokens of each meta, 0 where there is none.
        body_lengths: (D,) number of tokens of each body.
        words: number of words of all bodies, for a perplexity per word, comparable between vocabularies.
        bytes: number of UTF-8 bytes of all bodies, for bits per byte.
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._bodies = store.first[1:] - 1
        lengths = store.segment_lengths()
        self.body_lengths = lengths[self._bodies]
        self.meta_lengths = np.where(store.prefix_segments > 0, lengths[store.first[:-1]], 0) if len(store) else lengths
        self.words = int(store.words[self._bodies].sum(dtype=np.int64))
        self.bytes = int(store.bytes[self._bodies].sum(dtype=np.int64))

    def meta(self, document: int, stop: int) -> np.ndarray:
        """Return the first `stop` ids of a meta."""
        return self._store.ids(int(self._store.first[document]), 0, stop)

    def body(self, document: int, start: int, stop: int) -> np.ndarray:
        """Return the ids of a body from `start` up to `stop`."""
        return self._store.ids(int(self._bodies[document]), start, stop)


def document_segments(document: Document) -> Segments:
    """Return the texts of a document to store: the meta, if there is one, and the body."""
    meta = format_meta(document.meta)
    return ([meta] if meta else []), [document.body], []


DocumentsT = TypeVar("DocumentsT", EncodedDocuments, StoredDocuments)


@dataclass(frozen=True)
class WindowSelection:
    """Indices (B,) of the windows of a batch, and the mask (B,) of those whose meta is left out."""

    indices: np.ndarray
    without_meta: np.ndarray


class DocumentWindows(DocumentPlan, Generic[DocumentsT]):
    """The windows of documents, laid out when they are read."""

    def __init__(self, source: DocumentsT, *, sep_token_id: int, limits: DocumentLimits) -> None:
        super().__init__(source.meta_lengths, source.body_lengths, limits)
        self.source: DocumentsT = source
        self._sep_token_id = sep_token_id

    def read(self, indices: Iterable[int], without_meta: Iterable[bool] | None = None) -> list[DocumentSequence]:
        """Return the layouts of windows, with labels; where `without_meta` is true, the meta is left out."""
        if without_meta is None:
            return [self._read(int(n), with_meta=True) for n in indices]
        return [self._read(int(n), with_meta=not left_out) for n, left_out in zip(indices, without_meta, strict=True)]

    def read_batch(self, selection: WindowSelection) -> Batch:
        """Return windows as one batch without token types, padded on the right with separators."""
        rows = self.read(selection.indices, selection.without_meta)
        return {
            "input_ids": pad_values([row.input_ids for row in rows], self._sep_token_id),
            "labels": pad_values([row.labels for row in rows], IGNORED),
            "metadata": torch.tensor([row.metadata for row in rows] or [0]),
        }

    def _read(self, n: int, *, with_meta: bool) -> DocumentSequence:
        document = int(self.document[n])
        first = int(self.first[n])
        return lay_out_document(
            self.source.meta(document, int(self.kept_meta_lengths[document])) if with_meta else (),
            self.source.body(document, first, int(self.stop[n])),
            self._sep_token_id,
            predict_from=int(self.predict_from[n]) - first,
            ends=bool(self.ends[n]),
        )
