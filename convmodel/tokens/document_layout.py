"""Lay out documents as token ids and labels, within the limits of a model's window.

    meta            body                                      of a longer document, each later window
    <sep> Cats <sep> All cats are grey <sep>                  <sep> Cats <sep> are grey at night <sep>
                     ^^^ ^^^^ ^^^ ^^^^ ^^^^^                                            ^^ ^^^^^ ^^^^^

There is a separator before the meta, before the body and at the end; without a meta the first two are adjacent. The
predicted tokens (^) are those of the body and the separator that ends it. A document that does not fit is split: each
later window begins with the meta again and repeats the last tokens of the body before it, which are only context. Each
token of a body and each final separator is therefore predicted exactly once. There are no token types.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convmodel.tokens.conversation_layout import IGNORED

Ids = Sequence[int] | np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentLimits:
    """The lengths that a window gives to the parts of a document.

    Raises ValueError if a value is too small, or a window without a meta has no room for a token beside the overlap.

    Args:
        max_length: maximum number of tokens of a window, separators included.
        max_body_length: maximum number of tokens of the body; None for all that fit beside the meta.
        overlap: number of tokens of the body that a later window repeats.
    """

    max_length: int
    max_meta_length: int = 64
    max_body_length: int | None = None
    overlap: int = 64

    def __post_init__(self) -> None:
        if self.max_meta_length < 0:
            raise ValueError(f"max_meta_length={self.max_meta_length}; 0 leaves metas out, or give more")
        if self.max_body_length is not None and self.max_body_length < 1:
            raise ValueError(f"max_body_length={self.max_body_length}; give 1 or more, or null for as many as fit")
        if self.overlap < 0:
            raise ValueError(f"overlap={self.overlap}; give 0 for none, or more")
        self.check(0)

    def room(self, meta: int | np.ndarray, *, end: int = 0) -> np.ndarray:
        """Return the number of body tokens that fit beside `meta` tokens and, if `end` is 1, the last separator."""
        room = self.max_length - 2 - end - np.asarray(meta)
        return room if self.max_body_length is None else np.minimum(room, self.max_body_length)

    def check(self, meta: int) -> None:
        """Raise ValueError if a longer document whose meta has `meta` tokens cannot be split into windows."""
        if self.room(meta) > self.overlap:
            return
        beside = f" beside {meta} tokens of meta" if meta else ""
        remedies = [f"an overlap below {int(self.room(meta))}"] if self.room(meta) > 0 else []
        remedies += ["a smaller max_meta_length"] if meta else []
        remedies += ["a larger max_body_length"] if self.max_body_length else []
        raise ValueError(
            f"max_length={self.max_length} has room for {max(int(self.room(meta)), 0)} tokens of the body{beside}, and "
            f"overlap={self.overlap} of them are repeated, so a longer document would never end; "
            f"use {', '.join([*remedies, 'or a larger max_length'] if remedies else ['a larger max_length'])}"
        )


@dataclass(frozen=True, slots=True)
class DocumentSequence:
    """The layout of one window of a document.

    (T,) int64 token ids, and labels of -100 where nothing is predicted; `metadata` is the number of leading tokens that
    are not part of the body: the meta and its separators.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    metadata: int


def lay_out_document(
    meta: Ids, body: Ids, sep_token_id: int, *, predict_from: int = 0, ends: bool = True
) -> DocumentSequence:
    """Lay out one window of a document; all separators and labels of documents are placed here.

    Args:
        meta: token ids of the meta, already cut to the limit.
        body: token ids of the part of the body in this window.
        predict_from: number of leading body tokens that are only context.
        ends: whether the body ends here and gets its last separator; a prompt is laid out without it.
    """
    begin = len(meta) + 2
    stop = begin + len(body)
    ids = np.full(stop + ends, sep_token_id, dtype=np.int64)
    ids[1 : begin - 1] = meta
    ids[begin:stop] = body
    labels = np.full(len(ids), IGNORED, dtype=np.int64)
    labels[begin + predict_from :] = ids[begin + predict_from :]
    return DocumentSequence(ids, labels, begin)
