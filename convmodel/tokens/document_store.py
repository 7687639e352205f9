"""Store documents in a `TokenStore` and read their windows from it."""

import numpy as np

from convmodel.data.document import Document, format_meta
from convmodel.tokens.document_layout import DocumentLimits
from convmodel.tokens.document_windows import DocumentWindows
from convmodel.tokens.store import Segments, TokenStore


def to_segments(document: Document) -> Segments:
    """Return the texts that a store holds of a document: its meta, if it has one, and its body."""
    meta = format_meta(document.meta)
    return ([meta] if meta else []), [document.body], []


class StoredDocuments:
    """Token ids of the documents of a store.

    Args:
        store: built with `to_segments`.

    Attributes:
        meta_lengths: (D,) number of tokens of each meta, 0 where there is none.
        body_lengths: (D,) number of tokens of each body.
        words: number of words of all bodies together.
        bytes: number of UTF-8 bytes of all bodies together.
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


class StoredWindows(DocumentWindows):
    """The windows of a store's documents, laid out when they are read.

    Args:
        documents: documents of the store.
        sep_token_id: id of the separator.
        limits: lengths of a window and its parts.

    Attributes:
        words: number of words of all bodies, for a perplexity per word, which compares across vocabularies.
        bytes: number of UTF-8 bytes of all bodies, for bits per byte.
    """

    def __init__(self, documents: StoredDocuments, *, sep_token_id: int, limits: DocumentLimits) -> None:
        super().__init__(documents, sep_token_id=sep_token_id, limits=limits)
        self.words = documents.words
        self.bytes = documents.bytes
