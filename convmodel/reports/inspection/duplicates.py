"""Search for repeated conversations and replies: exact copies, near copies, and beginnings of longer conversations."""

from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import NamedTuple, TypeVar

import numpy as np

from convmodel.reports.inspection.findings import EXAMPLES
from convmodel.reports.inspection.minhash import Fingerprints, Signatures, similarity

MAX_PAIRS = 20_000_000
"""Maximum number of pairs whose signatures are compared. Beyond it, some near copies are not found."""


class Repeat(NamedTuple):
    """A conversation that repeats an earlier one.

    Args:
        line: line of the conversation, from 1.
        earlier_line: line of the earlier conversation, from 1.
        similarity: similarity of both, from 0 to 1; 1 for an exact copy.
    """

    line: int
    earlier_line: int
    similarity: float


@dataclass
class Repeats:
    """Items of one file that repeat items of another file, or earlier items of the same file.

    Args:
        count: number of the items.
        examples: the first items.
        hashes: hashes of all items.
    """

    count: int = 0
    examples: list[Repeat] = field(default_factory=list)
    hashes: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


FilePair = tuple[int, int]
"""Indices of two files, the earlier one first. They are equal for repetitions within a file."""

Key = TypeVar("Key", int, FilePair)


@dataclass(frozen=True)
class Duplicates:
    """Repeated conversations and replies of all files. A repetition is assigned to the earliest file that it repeats.

    Args:
        exact: by pair of files, conversations of the later file with the turns and persona of an earlier one.
        near: by pair of files, other conversations of the later file whose turns are similar to an earlier one.
        beginnings: by file, conversations whose turns are the beginning of a longer conversation of the file.
        replies: by pair of different files, replies of the later file that are also in the earlier one, with all turns
            before them.
        replies_of: by file, number of replies.
        one_in: sampling rates of conversations and of replies: 2 if one in 2 was compared. Counts are estimates for all
            items, except those of `near`, which count only the conversations of the sample.
    """

    exact: dict[FilePair, Repeats]
    near: dict[FilePair, Repeats]
    beginnings: dict[int, Repeats]
    replies: dict[FilePair, Repeats]
    replies_of: dict[int, int]
    one_in: tuple[int, int]


def find_duplicates(fingerprints: Fingerprints, *, files: int, near: float) -> Duplicates:
    """Find repetitions in the fingerprints of files.

    Args:
        fingerprints: fingerprints of the conversations and replies of all files.
        files: number of files.
        near: minimum similarity of near copies, from 0.5 to 1. With 1, near copies differ only in case, punctuation and
            spaces.
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
    """Return repeated rows as `Repeats`.

    Args:
        rows: columns of all rows.
        repeated: (N,) indices of the rows that repeat others.
        partners: (N,) indices of the rows that they repeat.
        similarities: (N,) similarities of these pairs.
    """
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
    """Find near copies among the rows `candidates`, which are not exact copies of earlier rows."""
    signatures = rows["signatures"][candidates]
    empty, _ = Signatures()([()])
    has_words = ~(signatures == empty).all(axis=1)
    candidates = candidates[has_words]
    file_of = rows["files"][candidates]
    best = _best_matches(signatures[has_words], file_of, near=near, files=files)
    repeats: dict[FilePair, Repeats] = {}
    counted = np.zeros(len(candidates), dtype=bool)  # already assigned to an earlier file
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
    """Return, for each file, the most similar earlier row of the file for each of N rows.

    The result of a file is a pair of (N,) similarities, 0 if no earlier row is similar, and (N,) indices of rows. Two
    rows are compared if one of the bands of their signatures is equal. All bytes of a band are equal with probability
    similarity ** width, so that bands of this width find more than 98 % of similar pairs.
    """
    count = len(signatures)
    best = [(np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.int64)) for _ in range(files)]
    width = 2 if near < 0.75 else 4
    bands = np.ascontiguousarray(signatures).view(f"<u{width}")
    budget = MAX_PAIRS // bands.shape[1]
    for band in range(bands.shape[1]):
        # Rows with an equal band are sorted by further bands, so that similar rows are neighbours and compared first.
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
    """Update `best` with pairs of rows (`these`, `others`) whose similarity is at least `near`."""
    earlier = np.minimum(these, others)
    later = np.maximum(these, others)
    blocks = [slice(start, start + 100_000) for start in range(0, len(earlier), 100_000)]
    scores = np.concatenate([similarity(signatures[earlier[block]], signatures[later[block]]) for block in blocks])
    earlier, later, scores = (values[scores >= near] for values in (earlier, later, scores))
    for file in np.unique(file_of[earlier]).tolist():
        in_file = np.flatnonzero(file_of[earlier] == file)
        in_file = in_file[np.argsort(scores[in_file], kind="stable")]  # the most similar row is written last
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
