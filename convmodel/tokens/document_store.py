"""Documents in, their texts for a token store out; and a store of documents in, their token ids out."""

import numpy as np

from convmodel.data.document import Document, meta_text
from convmodel.tokens.document_layout import DocumentWindows, Limits
from convmodel.tokens.store import Segments, TokenStore


def parts(document: Document) -> Segments:
    """What a store holds of a document: its meta, if it has one, and its body."""
    meta = meta_text(document.meta)
    return ([meta] if meta else []), [document.body], []


class StoredDocuments:
    """The documents of a store.

    Args:
        store: built with `parts`.

    Attributes:
        meta_lengths, body_lengths: (D,) tokens of each meta, 0 where there is none, and of each body.
        words, bytes: of all bodies together.
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
        """The first ids of a meta."""
        return self._store.ids(int(self._store.first[document]), 0, stop)

    def body(self, document: int, start: int, stop: int) -> np.ndarray:
        """A part of the ids of a body."""
        return self._store.ids(int(self._bodies[document]), start, stop)


class StoredWindows(DocumentWindows):
    """The windows of a store's documents, laid out when they are read.

    Args:
        documents: of the store.
        sep_token_id: the separator.
        limits: of a window.

    Attributes:
        words, bytes: of all bodies, for perplexities that compare across vocabularies.
    """

    def __init__(self, documents: StoredDocuments, *, sep_token_id: int, limits: Limits) -> None:
        super().__init__(documents, sep_token_id=sep_token_id, limits=limits)
        self.words, self.bytes = documents.words, documents.bytes
