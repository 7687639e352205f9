"""Conversations in, numbers by which equal and similar ones are known out; never the texts.

Similar means: the Jaccard similarity of the sets of pairs of neighbouring words (the share of pairs that are in both,
of those in either), without case and punctuation. MinHash estimates it from 64 numbers; 8 bits are kept of each.
Sources: Broder 1997, On the resemblance and containment of documents; Li and Koenig, arXiv:0910.3349 (b-bit).
"""

import re
import zlib
from collections.abc import Sequence
from itertools import chain

import numpy as np

from convmodel.reports.inspection.chunks import Chunk

HASHES = 64
"""Bytes of a signature."""

MOST_CONVERSATIONS = 1_000_000
MOST_REPLIES = 4_000_000
"""Of more of them a sample is compared, chosen by their words: all copies of one are in it, or none."""

_WORDS = re.compile(r"\w+")
# Scripts without spaces between words: each character counts as a word.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORDS_AND_CHARACTERS = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_REMEMBERED = 500_000
_SEEDS = np.random.default_rng(1).integers(1, 1 << 32, (2, HASHES), dtype=np.uint32)


def words_of(turns: Sequence[str]) -> list[str]:
    """The words of a conversation by which it is compared; [""] when it has none."""
    text = "\n".join(turns).lower()
    pattern = _WORDS if text.isascii() else _WORDS_AND_CHARACTERS
    return pattern.findall(text) or [""]


class _WordHashes(dict[str, int]):
    """A checksum for each word; the same in every run, unlike Python's own hash."""

    def __missing__(self, word: str) -> int:
        self[word] = value = zlib.crc32(word.encode())
        return value


class Signatures:
    """Makes MinHash signatures."""

    def __init__(self) -> None:
        self._hashes = _WordHashes()

    def __call__(self, conversations: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Turns of C conversations in; (C, HASHES) uint8 signatures and (C,) uint32 keys for sampling out.

        Similar conversations agree in as large a share of their bytes as they are similar. Keys are equal where the
        word pairs are.
        """
        if len(self._hashes) > _REMEMBERED:
            self._hashes.clear()
        words = [words_of(turns) for turns in conversations]
        sizes = np.array([len(found) for found in words])
        starts = np.cumsum(sizes) - sizes
        known = map(self._hashes.__getitem__, chain.from_iterable(words))
        hashes = np.fromiter(known, dtype=np.uint32, count=int(sizes.sum()))
        before = np.roll(hashes, 1)
        before[starts] = 0
        pairs = _mix(hashes ^ _mix(before + np.uint32(0x9E3779B9)))
        least = np.empty((HASHES, len(words)), dtype=np.uint32)
        for number, (factor, offset) in enumerate(_SEEDS.T):
            least[number] = np.minimum.reduceat(pairs * (factor | np.uint32(1)) + offset, starts)
        mixed = _mix(least)
        return mixed.astype(np.uint8).T.copy(), _mix(np.add.reduce(mixed, axis=0, dtype=np.uint32))


def similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N, HASHES) signatures in, (N,) estimated similarities out; the standard error is at most 0.07."""
    equal = (one == other).mean(axis=-1)
    return np.maximum(0, (equal - 1 / 256) / (1 - 1 / 256))


def _mix(values: np.ndarray) -> np.ndarray:
    """Spreads every bit over all others. Source: the finaliser of MurmurHash3, Austin Appleby, public domain."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))


class Table:
    """Rows of columns; beyond `most` of them a sample by key, halved as often as needed.

    Args:
        most: rows that are kept at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[dict[str, np.ndarray]] = []
        self._rows = 0
        self.one_in = 1

    def add(self, keys: np.ndarray, **columns: np.ndarray) -> None:
        """Adds rows; their keys are integers, evenly spread."""
        self._parts.append(self._thinned({"keys": keys, **columns}))
        self._rows += len(self._parts[-1]["keys"])
        while self._rows > self._most:
            self.one_in *= 2
            self._parts = [self._thinned(part) for part in self._parts]
            self._rows = sum(len(part["keys"]) for part in self._parts)

    def columns(self) -> dict[str, np.ndarray]:
        """All rows, in the order in which they came."""
        names = list(self._parts[0]) if self._parts else []
        # Column by column, so that hardly more than one of them is held twice.
        self._parts = [{name: np.concatenate([part.pop(name) for part in self._parts]) for name in names}]
        return dict(self._parts[0])

    def _thinned(self, part: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.one_in == 1:
            return part
        keep = part["keys"] % self.one_in == 0
        return {name: values[keep] for name, values in part.items()}


def conversation_hashes(chunk: Chunk) -> np.ndarray:
    """(C,) int64, equal for equal turns and persona; good for one run only."""
    return np.array([hash((c.turns, c.persona)) for c in chunk.conversations], dtype=np.int64)


class Fingerprints:
    """What is kept of all files: 90 bytes a conversation and 11 a reply, and of very many only a sample."""

    def __init__(self) -> None:
        self._signatures = Signatures()
        self.conversations = Table(MOST_CONVERSATIONS)
        self.replies = Table(MOST_REPLIES)

    def add(self, file: int, chunk: Chunk) -> None:
        """Adds the conversations of a chunk of the file with this number."""
        signatures, keys = self._signatures([c.turns for c in chunk.conversations])
        rows = len(chunk.conversations)
        begins: list[int] = []
        ends: list[int] = []
        for conversation in chunk.conversations:
            so_far = 0
            for turn in conversation.turns:
                so_far = hash((so_far, turn))
                begins.append(so_far)
            ends.append(len(begins))
        turns = np.array(begins, dtype=np.int64)
        last = np.array(ends) - 1
        first = np.append(0, last[:-1] + 1)
        self.conversations.add(
            keys,
            hashes=conversation_hashes(chunk),
            turns=turns[last],
            signatures=signatures,
            files=np.full(rows, file, dtype=np.uint16),
            lines=chunk.lines.astype(np.uint32),
        )
        whole = np.zeros(len(turns), dtype=bool)
        whole[last] = True
        replies = np.ones(len(turns), dtype=bool)
        replies[first] = False
        self.replies.add(
            turns[replies],
            files=np.full(int(replies.sum()), file, dtype=np.uint16),
            whole=whole[replies],
        )
