"""Documents as token ids in, laid-out windows of at most `max_length` tokens out, each read by its number.

    meta            body                                      of a longer document, each later window
    <sep> Cats <sep> All cats are grey <sep>                  <sep> Cats <sep> are grey at night <sep>
                     ^^^ ^^^^ ^^^ ^^^^ ^^^^^                                            ^^ ^^^^^ ^^^^^

A separator stands before the meta, before the body and at the end; without a meta the first two stand side by side.
Predicted (^) are the tokens of the body and the separator that ends it. A document that does not fit is cut: each later
window begins with the meta again and with the last tokens of the body that came before, which are only context. So each
token of a body, and each end, is predicted exactly once. There are no token types.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from convmodel.tokens.conversation_layout import IGNORED

Ids = Sequence[int] | np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a document stands in a window.

    Args:
        max_length: tokens of a window at most, separators included.
        max_meta_length: tokens of the meta at most; the rest is cut from its end.
        max_body_length: tokens of the body at most; None is what fits beside the meta.
        overlap: tokens of the body that a later window repeats.

    Raises:
        ValueError: when one is too small, or a window without a meta has no room for a token beside the overlap.
    """

    max_length: int
    max_meta_length: int = 64
    max_body_length: int | None = None
    overlap: int = 64

    def __post_init__(self) -> None:
        if self.max_meta_length < 0:
            raise ValueError(f"max_meta_length={self.max_meta_length}; 0 leaves metas out, or give more")
        if self.max_body_length is not None and self.max_body_length < 1:
            raise ValueError(f"max_body_length={self.max_body_length}; give 1 or more, or null for what fits")
        if self.overlap < 0:
            raise ValueError(f"overlap={self.overlap}; give 0 for none, or more")
        if self.room(0) <= self.overlap:
            raise ValueError(self._too_small(0))

    def room(self, meta: int | np.ndarray, *, end: int = 0) -> np.ndarray:
        """Tokens of the body that fit beside so many of the meta and, with `end=1`, the last separator."""
        room = self.max_length - 2 - end - np.asarray(meta)
        return room if self.max_body_length is None else np.minimum(room, self.max_body_length)

    def check(self, meta: int) -> None:
        """Raises ValueError when a longer document with so many tokens of meta cannot be cut into windows."""
        if self.room(meta) <= self.overlap:
            raise ValueError(self._too_small(meta))

    def _too_small(self, meta: int) -> str:
        beside = f" beside {meta} tokens of meta" if meta else ""
        cures = [f"an overlap below {int(self.room(meta))}"] if self.room(meta) > 0 else []
        cures += ["a smaller max_meta_length"] if meta else []
        cures += ["a larger max_body_length"] if self.max_body_length else []
        return (
            f"max_length={self.max_length} has room for {max(int(self.room(meta)), 0)} tokens of the body{beside}, and "
            f"overlap={self.overlap} of them are repeated, so a longer document would never end; "
            f"use {', '.join([*cures, 'or a larger max_length'] if cures else ['a larger max_length'])}"
        )


@dataclass(frozen=True, slots=True)
class LaidOut:
    """One window.

    Args:
        input_ids, labels: (T,) int64; labels are -100 where nothing is predicted.
        metadata: how many of the first tokens are no part of the body: the meta and its separators.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    metadata: int


def lay_out(meta: Ids, body: Ids, sep_token_id: int, *, predict_from: int = 0, ends: bool = True) -> LaidOut:
    """Lays a window out; the only place where separators and labels of documents are put.

    Args:
        meta: ids of the meta, as many as may stand there.
        body: ids of the part of the body that stands in the window.
        sep_token_id: the separator.
        predict_from: how many ids of the body are only context.
        ends: whether the body is over, and its last separator stands there. A prompt is laid out without it.
    """
    begin = len(meta) + 2
    stop = begin + len(body)
    ids = np.full(stop + ends, sep_token_id, dtype=np.int64)
    ids[1 : begin - 1] = meta
    ids[begin:stop] = body
    labels = np.full(len(ids), IGNORED, dtype=np.int64)
    labels[begin + predict_from :] = ids[begin + predict_from :]
    return LaidOut(ids, labels, begin)


class DocumentPlan:
    """Which part of its document each window reads; needs lengths alone.

    Args:
        meta_lengths: (D,) tokens of each document's meta, 0 where there is none.
        body_lengths: (D,) tokens of each document's body.
        limits: of a window.

    Attributes:
        document: (W,) the document that each window is of, ascending.
        first, predict_from, stop: (W,) tokens of the body: the first that is read, the first that is predicted, and
            the one after the last.
        ends: (W,) whether the document ends there.
        metas: (D,) tokens of each meta that stand in a window.
        lengths: (W,) tokens of each window.
        cut_metas: how many metas are longer than what stands of them.

    Raises:
        ValueError: when a document must be cut and its meta leaves no room for that.
    """

    def __init__(self, meta_lengths: Ids, body_lengths: Ids, limits: Limits) -> None:
        body = np.asarray(body_lengths, dtype=np.int64)
        metas = np.asarray(meta_lengths, dtype=np.int64)
        self.metas = np.minimum(metas, limits.max_meta_length)
        self.cut_metas = int((metas > self.metas).sum())
        full, last = limits.room(self.metas), limits.room(self.metas, end=1)
        cut = body > last
        if cut.any():
            limits.check(int(self.metas[cut].max()))
        # A window after the first takes `step` new tokens; the one that ends the document takes as many as leave room
        # for the separator.
        step = np.maximum(full - limits.overlap, 1)
        rest = np.maximum(body - full - (last - limits.overlap), 0)
        windows = np.where(cut, 2 + -(-rest // step), 1)
        self.document = np.repeat(np.arange(len(body)), windows)
        place = np.arange(len(self.document)) - np.repeat(np.cumsum(windows) - windows, windows)
        full, step = full[self.document], step[self.document]
        self.ends = place == windows[self.document] - 1
        self.predict_from = np.where(place == 0, 0, full + (place - 1) * step)
        self.stop = np.where(self.ends, body[self.document], full + place * step)
        self.stop = np.minimum(self.stop, body[self.document])
        self.first = np.maximum(self.predict_from - limits.overlap, 0)
        self.lengths = 2 + self.metas[self.document] + self.stop - self.first + self.ends

    def __len__(self) -> int:
        return len(self.document)

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.metas)

    @property
    def split(self) -> int:
        """How many documents are longer than a window."""
        return int((~self.ends & (self.predict_from == 0)).sum())

    @property
    def predicted(self) -> int:
        """How many tokens are predicted: those of all bodies, and their ends."""
        return int((self.stop - self.predict_from + self.ends).sum())


class DocumentIds(Protocol):
    """Documents as token ids."""

    @property
    def meta_lengths(self) -> np.ndarray:
        """(D,) tokens of each meta."""

    @property
    def body_lengths(self) -> np.ndarray:
        """(D,) tokens of each body."""

    def meta(self, document: int, stop: int) -> Ids:
        """The first ids of a meta."""

    def body(self, document: int, start: int, stop: int) -> Ids:
        """A part of the ids of a body."""


@dataclass(frozen=True)
class EncodedDocuments:
    """Documents in memory.

    Args:
        metas: (D,) ids of each meta, none where there is none.
        bodies: (D,) ids of each body.
    """

    metas: Sequence[Ids]
    bodies: Sequence[Ids]

    @property
    def meta_lengths(self) -> np.ndarray:
        """(D,) tokens of each meta."""
        return np.array([len(meta) for meta in self.metas], dtype=np.int64)

    @property
    def body_lengths(self) -> np.ndarray:
        """(D,) tokens of each body."""
        return np.array([len(body) for body in self.bodies], dtype=np.int64)

    def meta(self, document: int, stop: int) -> Ids:
        """The first ids of a meta."""
        return self.metas[document][:stop]

    def body(self, document: int, start: int, stop: int) -> Ids:
        """A part of the ids of a body."""
        return self.bodies[document][start:stop]


class DocumentWindows(DocumentPlan):
    """The windows of documents, laid out when they are read.

    Args:
        documents: their token ids.
        sep_token_id: the separator.
        limits: of a window.
    """

    def __init__(self, documents: DocumentIds, *, sep_token_id: int, limits: Limits) -> None:
        super().__init__(documents.meta_lengths, documents.body_lengths, limits)
        self._ids, self._sep_token_id = documents, sep_token_id

    def read(self, numbers: Iterable[int], without_meta: Iterable[bool] | None = None) -> list[LaidOut]:
        """The windows of these numbers, laid out, with labels.

        Args:
            numbers: from 0.
            without_meta: for each of them, whether its meta is left out; none is when left out.
        """
        if without_meta is None:
            return [self._read(int(n), with_meta=True) for n in numbers]
        return [self._read(int(n), with_meta=not left_out) for n, left_out in zip(numbers, without_meta, strict=True)]

    def _read(self, n: int, *, with_meta: bool) -> LaidOut:
        document, first, predict_from = int(self.document[n]), int(self.first[n]), int(self.predict_from[n])
        return lay_out(
            self._ids.meta(document, int(self.metas[document])) if with_meta else (),
            self._ids.body(document, first, int(self.stop[n])),
            self._sep_token_id,
            predict_from=predict_from - first,
            ends=bool(self.ends[n]),
        )
