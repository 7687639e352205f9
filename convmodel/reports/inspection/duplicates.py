"""Search for repeated conversations and replies: word for word, nearly, and as the beginning of a longer one."""

from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import NamedTuple, TypeVar

import numpy as np

from convmodel.reports.inspection.findings import EXAMPLES
from convmodel.reports.inspection.minhash import Fingerprints, Signatures, similarity

MAX_PAIRS = 20_000_000
"""Maximum number of pairs whose signatures are compared. Where very many conversations are alike, some pairs are then
missed."""


class Repeat(NamedTuple):
    """A conversation that repeats an earlier one: the lines of both, and their similarity, 1 for word for word."""

    line: int
    earlier_line: int
    similarity: float


@dataclass
class Repeats:
    """The items of one file that are also in another, or earlier in it: their number, the first ones, all hashes."""

    count: int = 0
    examples: list[Repeat] = field(default_factory=list)
    hashes: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


FilePair = tuple[int, int]
"""Indices of two files, the earlier one first; equal for repetitions within a file."""

Key = TypeVar("Key", int, FilePair)


@dataclass(frozen=True)
class Duplicates:
    """Everything that occurs in the files more than once. A conversation is counted for the earliest file that has it.

    Args:
        exact: conversations that repeat one word for word (turns and persona).
        near: other conversations that are nearly the same as an earlier one (turns only).
        beginnings: by file, conversations whose turns are the beginning of a longer one in it.
        replies: by pair of different files, replies of the second that are also in the first with all turns before.
        replies_of: by file, number of all replies compared.
        one_in: conversations and replies were sampled one in so many. Counts are scaled to estimate all; those of
            `near` are of the sample, because two similar conversations are rarely both in it.
    """

    exact: dict[FilePair, Repeats]
    near: dict[FilePair, Repeats]
    beginnings: dict[int, Repeats]
    replies: dict[FilePair, Repeats]
    replies_of: dict[int, int]
    one_in: tuple[int, int]


def find_duplicates(fingerprints: Fingerprints, *, files: int, near: float) -> Duplicates:
    """Search the fingerprints of some files for repetitions.

    `near` is the minimum similarity of nearly equal conversations, from 0.5 to 1; at 1 they differ only in case,
    punctuation and spaces.
    """
    rows = fingerprints.conversations.columns()
    replies = fingerprints.replies.columns()
    conversation_rate = fingerprints.conversations.one_in
    reply_rate = fingerprints.replies.one_in
    _, first, inverse = np.unique(rows["hashes"], return_index=True, return_inverse=True)
    earliest = first[inverse]  # (N,) for each row the first row with the same hash
    candidates = np.flatnonzero(earliest == np.arange(len(earliest)))
    return Duplicates(
        exact=_scaled(_exact(rows, earliest), conversation_rate),
        near=_near(rows, candidates, near, files),
        beginnings=_scaled(_beginnings(rows, replies, files), conversation_rate * reply_rate),
        replies=_scaled(_shared_replies(replies, files), reply_rate),
        replies_of={file: int((replies["files"] == file).sum()) * reply_rate for file in range(files)},
        one_in=(conversation_rate, reply_rate),
    )


def _scaled(repeats: dict[Key, Repeats], one_in: int) -> dict[Key, Repeats]:
    return {key: replace(items, count=items.count * one_in) for key, items in repeats.items()}


def _collect(
    rows: dict[str, np.ndarray], repeated: np.ndarray, partners: np.ndarray, similarities: np.ndarray
) -> Repeats:
    """Return the repeated rows (N,), with their partners (N,) and similarities (N,) as examples."""
    columns = (rows["lines"][repeated], rows["lines"][partners], similarities)
    first = zip(*(column[:EXAMPLES].tolist() for column in columns), strict=True)
    return Repeats(len(repeated), [Repeat(*values) for values in first], rows["hashes"][repeated])


def _exact(rows: dict[str, np.ndarray], earliest: np.ndarray) -> dict[FilePair, Repeats]:
    again = np.flatnonzero(earliest != np.arange(len(earliest)))
    repeats: dict[FilePair, Repeats] = {}
    pairs = np.stack([rows["files"][earliest[again]], rows["files"][again]], axis=1)
    for earlier, later in np.unique(pairs, axis=0).tolist():
        in_pair = again[(pairs == (earlier, later)).all(axis=1)]
        repeats[earlier, later] = _collect(rows, in_pair, earliest[in_pair], np.ones(len(in_pair)))
    return repeats


def _near(rows: dict[str, np.ndarray], candidates: np.ndarray, near: float, files: int) -> dict[FilePair, Repeats]:
    """Find near copies among rows that repeat nothing word for word."""
    signatures = rows["signatures"][candidates]
    empty, _ = Signatures()([()])
    has_words = ~(signatures == empty).all(axis=1)
    candidates = candidates[has_words]
    file_of = rows["files"][candidates]
    best = _best_matches(signatures[has_words], file_of, near=near, files=files)
    repeats: dict[FilePair, Repeats] = {}
    counted = np.zeros(len(candidates), dtype=bool)  # for an earlier file
    for earlier, (scores, partners) in enumerate(best):
        for later in range(earlier, files):
            in_pair = np.flatnonzero((scores > 0) & (file_of == later) & ~counted)
            if len(in_pair):
                partner_rows = candidates[partners[in_pair]]
                repeats[earlier, later] = _collect(rows, candidates[in_pair], partner_rows, scores[in_pair])
        counted |= scores > 0
    return repeats


def _best_matches(
    signatures: np.ndarray, file_of: np.ndarray, *, near: float, files: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each file (N,) similarities to the most similar earlier row of that file, and (N,) these rows.

    Rows that agree in one of the bands are compared. All bytes of a band are equal in two rows with probability
    similarity ** width, so bands of this width find more than 98 in 100 similar pairs.
    """
    count = len(signatures)
    best = [(np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.int64)) for _ in range(files)]
    width = 2 if near < 0.75 else 4
    bands = np.ascontiguousarray(signatures).view(f"<u{width}")
    budget = MAX_PAIRS // bands.shape[1]
    for band in range(bands.shape[1]):
        # Within a group, sorting by further bands brings similar rows together, so that they are compared first.
        order = np.lexsort([bands[:, (band + n) % bands.shape[1]] for n in (2, 1, 0)])
        keys = bands[order, band]
        left = budget
        for lag in range(1, count):
            same = np.flatnonzero(keys[lag:] == keys[:-lag])
            if not len(same) or len(same) > left:
                break
            left -= len(same)
            _compare(signatures, file_of, order[same], order[same + lag], near=near, best=best)
    return best


def _compare(
    signatures: np.ndarray,
    file_of: np.ndarray,
    these: np.ndarray,
    others: np.ndarray,
    *,
    near: float,
    best: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Update `best` with those of these pairs of rows that are similar enough."""
    earlier = np.minimum(these, others)
    later = np.maximum(these, others)
    blocks = [slice(start, start + 100_000) for start in range(0, len(earlier), 100_000)]
    scores = np.concatenate([similarity(signatures[earlier[block]], signatures[later[block]]) for block in blocks])
    earlier, later, scores = (values[scores >= near] for values in (earlier, later, scores))
    for file in np.unique(file_of[earlier]).tolist():
        in_file = np.flatnonzero(file_of[earlier] == file)
        in_file = in_file[np.argsort(scores[in_file], kind="stable")]  # the most similar is written last, and stays
        best_scores, partners = best[file]
        better = in_file[scores[in_file] > best_scores[later[in_file]]]
        best_scores[later[better]] = scores[better]
        partners[later[better]] = earlier[better]


def _beginnings(rows: dict[str, np.ndarray], replies: dict[str, np.ndarray], files: int) -> dict[int, Repeats]:
    repeats: dict[int, Repeats] = {}
    for file in range(files):
        inner = replies["keys"][(replies["files"] == file) & ~replies["whole"]]
        in_file = np.flatnonzero((rows["files"] == file) & np.isin(rows["turns"], inner))
        if len(in_file):
            repeats[file] = _collect(rows, in_file, in_file, np.ones(len(in_file)))
    return repeats


def _shared_replies(replies: dict[str, np.ndarray], files: int) -> dict[FilePair, Repeats]:
    keys = [replies["keys"][replies["files"] == file] for file in range(files)]
    pairs = combinations(range(files), 2)
    shared = {(earlier, later): int(np.isin(keys[later], keys[earlier]).sum()) for earlier, later in pairs}
    return {pair: Repeats(count) for pair, count in shared.items() if count}
