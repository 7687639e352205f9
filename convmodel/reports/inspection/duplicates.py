"""Fingerprints in, what stands in the files twice out: word for word, nearly, as a beginning, as a reply."""

from dataclasses import dataclass, field

import numpy as np

from convmodel.reports.inspection.findings import EXAMPLES
from convmodel.reports.inspection.minhash import Fingerprints, Signatures, similarity

PAIRS_LOOKED_AT = 20_000_000
"""Pairs whose signatures are compared at most; where very many conversations are alike, some pairs are then missed."""


@dataclass(frozen=True)
class Place:
    """A conversation: the number of its file, and its line."""

    file: int
    line: int


@dataclass(frozen=True)
class Repeat:
    """A conversation, the earlier one that it repeats, and how similar they are (1 for word for word)."""

    place: Place
    earlier: Place
    similarity: float = 1.0


@dataclass
class Repeats:
    """What of one file stands in another, or in itself.

    Args:
        count: conversations, or replies.
        examples: the first ones.
        lines: of all of them, where they are kept.
    """

    count: int = 0
    examples: list[Repeat] = field(default_factory=list)
    lines: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


FilePair = tuple[int, int]
"""The numbers of two files, the earlier one first; twice the same for a file and itself."""


@dataclass(frozen=True)
class Duplicates:
    """What stands in the files twice; every conversation counts under the earliest file that has it.

    Args:
        exact: conversations that repeat one word for word (turns and persona).
        near: those that do not, but are nearly as an earlier one (turns alone).
        beginnings: by file, conversations whose turns are the beginning of a longer one in it.
        replies: by pair of different files, replies of the second that stand, with all before them, in the first too.
        replies_of: by file, all replies compared.
        one_in: conversations and replies were compared in a sample of one in so many. The counts are of all, estimated;
            those of `near` are of the sample, for two that are only similar are rarely both in it.
    """

    exact: dict[FilePair, Repeats]
    near: dict[FilePair, Repeats]
    beginnings: dict[int, Repeats]
    replies: dict[FilePair, Repeats]
    replies_of: dict[int, int]
    one_in: tuple[int, int]


def find_duplicates(fingerprints: Fingerprints, *, files: int, near: float) -> Duplicates:
    """Searches the fingerprints of so many files.

    Args:
        fingerprints: of all files, one after the other.
        files: how many there are.
        near: the similarity from which conversations are nearly the same, from 0.5 to 1; at 1 only those are that
            differ in nothing but case, punctuation and spaces.
    """
    rows = fingerprints.conversations.columns()
    replies = fingerprints.replies.columns()
    once = (fingerprints.conversations.one_in, fingerprints.replies.one_in)
    earliest = _earliest(rows["hashes"])
    exact = _exact(rows, earliest)
    candidates = np.flatnonzero(earliest == np.arange(len(earliest)))
    return Duplicates(
        exact={pair: _scaled(found, once[0]) for pair, found in exact.items()},
        near=_near(rows, candidates, near, files),
        beginnings={f: _scaled(found, once[0] * once[1]) for f, found in _beginnings(rows, replies, files).items()},
        replies={pair: _scaled(found, once[1]) for pair, found in _shared_replies(replies, files).items()},
        replies_of={f: int((replies["files"] == f).sum()) * once[1] for f in range(files)},
        one_in=once,
    )


def _scaled(found: Repeats, one_in: int) -> Repeats:
    return Repeats(found.count * one_in, found.examples, found.lines)


def _earliest(hashes: np.ndarray) -> np.ndarray:
    """(N,) for each row the first one with its hash."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    found: np.ndarray = first[inverse]
    return found


def _place(rows: dict[str, np.ndarray], row: int) -> Place:
    return Place(int(rows["files"][row]), int(rows["lines"][row]))


def _collect(rows: dict[str, np.ndarray], which: np.ndarray, partner: np.ndarray, how: np.ndarray) -> Repeats:
    """Rows that repeat their partners, with so much similarity."""
    examples = [
        Repeat(_place(rows, a), _place(rows, b), float(s))
        for a, b, s in zip(which[:EXAMPLES].tolist(), partner[:EXAMPLES].tolist(), how[:EXAMPLES].tolist(), strict=True)
    ]
    return Repeats(len(which), examples, rows["lines"][which].astype(np.int64))


def _exact(rows: dict[str, np.ndarray], earliest: np.ndarray) -> dict[FilePair, Repeats]:
    again = np.flatnonzero(earliest != np.arange(len(earliest)))
    found: dict[FilePair, Repeats] = {}
    pairs = np.stack([rows["files"][earliest[again]], rows["files"][again]], axis=1)
    for one, other in np.unique(pairs, axis=0).tolist():
        which = again[(pairs == (one, other)).all(axis=1)]
        found[one, other] = _collect(rows, which, earliest[which], np.ones(len(which)))
    return found


def _near(rows: dict[str, np.ndarray], candidates: np.ndarray, near: float, files: int) -> dict[FilePair, Repeats]:
    """Near copies among rows that repeat nothing word for word."""
    signatures = rows["signatures"][candidates]
    empty, _ = Signatures()([()])
    worded = ~(signatures == empty).all(axis=1)
    candidates, signatures = candidates[worded], signatures[worded]
    numbers = rows["files"][candidates]
    best = _best_matches(signatures, numbers, near=near, files=files)
    found: dict[FilePair, Repeats] = {}
    for one, (how, partner) in enumerate(best):
        for other in range(one, files):
            which = np.flatnonzero((how > 0) & (numbers == other))
            for earlier in range(one):  # counted there already
                which = which[best[earlier][0][which] == 0]
            if len(which):
                found[one, other] = _collect(rows, candidates[which], candidates[partner[which]], how[which])
    return found


def _best_matches(
    signatures: np.ndarray, numbers: np.ndarray, *, near: float, files: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each file, how similar each row is to the most similar earlier row of that file, and which that is.

    Rows that agree in one of the bands are compared: in a band all bytes of two rows are equal with probability
    similarity ** width, so of bands as wide as here more than 98 in 100 similar pairs are met.
    """
    count = len(signatures)
    best = [(np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.int64)) for _ in range(files)]
    width = 2 if near < 0.75 else 4
    bands = np.ascontiguousarray(signatures).view(f"<u{width}")
    budget = PAIRS_LOOKED_AT // bands.shape[1]
    for band in range(bands.shape[1]):
        # Within a group the most similar come together, so that they are compared first.
        order = np.lexsort([bands[:, (band + n) % bands.shape[1]] for n in (2, 1, 0)])
        keys = bands[order, band]
        left = budget
        for lag in range(1, count):
            same = np.flatnonzero(keys[lag:] == keys[:-lag])
            if not len(same) or len(same) > left:
                break
            left -= len(same)
            _compare(signatures, numbers, order[same], order[same + lag], near=near, best=best)
    return best


def _compare(
    signatures: np.ndarray,
    numbers: np.ndarray,
    ones: np.ndarray,
    others: np.ndarray,
    *,
    near: float,
    best: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Notes which of these pairs of rows are similar enough."""
    earlier, later = np.minimum(ones, others), np.maximum(ones, others)
    how = np.concatenate(
        [
            similarity(signatures[earlier[i : i + 100_000]], signatures[later[i : i + 100_000]])
            for i in range(0, len(earlier), 100_000)
        ]
    )
    enough = how >= near
    earlier, later, how = earlier[enough], later[enough], how[enough]
    for file in np.unique(numbers[earlier]).tolist():
        mine = np.flatnonzero(numbers[earlier] == file)
        mine = mine[np.argsort(how[mine], kind="stable")]  # the most similar is written last, and stays
        known, partner = best[file]
        better = mine[how[mine] > known[later[mine]]]
        known[later[better]], partner[later[better]] = how[better], earlier[better]


def _beginnings(rows: dict[str, np.ndarray], replies: dict[str, np.ndarray], files: int) -> dict[int, Repeats]:
    found: dict[int, Repeats] = {}
    for file in range(files):
        inner = replies["keys"][(replies["files"] == file) & ~replies["whole"]]
        which = np.flatnonzero((rows["files"] == file) & np.isin(rows["turns"], inner))
        if len(which):
            found[file] = _collect(rows, which, which, np.ones(len(which)))
    return found


def _shared_replies(replies: dict[str, np.ndarray], files: int) -> dict[FilePair, Repeats]:
    found: dict[FilePair, Repeats] = {}
    of = [replies["keys"][replies["files"] == file] for file in range(files)]
    for one in range(files):
        for other in range(one + 1, files):
            shared = int(np.isin(of[other], of[one]).sum())
            if shared:
                found[one, other] = Repeats(shared)
    return found
