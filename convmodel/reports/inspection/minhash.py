"""MinHash fingerprints of conversations, to find equal and similar ones without keeping their texts.

The similarity of two conversations is the Jaccard similarity of their sets of pairs of neighbouring words (the number
of pairs in both, divided by that in either), without case and punctuation. MinHash estimates it from 64 numbers, of
which 8 bits each are kept.
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

MAX_CONVERSATIONS = 1_000_000
MAX_REPLIES = 4_000_000
"""Larger numbers are sampled by a hash of the words, so that either all copies of an item are in the sample or none."""

_WORDS = re.compile(r"\w+")
# Scripts without spaces between words: each character counts as a word.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORDS_AND_CHARACTERS = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_MAX_CACHED = 500_000
_SEEDS = np.random.default_rng(1).integers(1, 1 << 32, (2, HASHES), dtype=np.uint32)


def words_of(turns: Sequence[str]) -> list[str]:
    """Return the words of a conversation for its signature; [""] when it has none."""
    text = "\n".join(turns).lower()
    pattern = _WORDS if text.isascii() else _WORDS_AND_CHARACTERS
    return pattern.findall(text) or [""]


class _WordHashes(dict[str, int]):
    """Checksums of words; the same in every run, unlike Python's own hash."""

    def __missing__(self, word: str) -> int:
        self[word] = value = zlib.crc32(word.encode())
        return value


class Signatures:
    """Compute MinHash signatures."""

    def __init__(self) -> None:
        self._hashes = _WordHashes()

    def __call__(self, conversations: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Return (C, HASHES) uint8 signatures and (C,) uint32 sampling keys for the turns of C conversations.

        The expected share of equal bytes of two signatures is the similarity. Keys are equal where the sets of word
        pairs are.
        """
        if len(self._hashes) > _MAX_CACHED:
            self._hashes.clear()
        words = [words_of(turns) for turns in conversations]
        sizes = np.array([len(of_conversation) for of_conversation in words])
        starts = np.cumsum(sizes) - sizes
        known = map(self._hashes.__getitem__, chain.from_iterable(words))
        hashes = np.fromiter(known, dtype=np.uint32, count=int(sizes.sum()))
        before = np.roll(hashes, 1)
        before[starts] = 0
        pairs = _mix(hashes ^ _mix(before + np.uint32(0x9E3779B9)))
        minima = np.empty((HASHES, len(words)), dtype=np.uint32)
        for index, (factor, offset) in enumerate(_SEEDS.T):
            minima[index] = np.minimum.reduceat(pairs * (factor | np.uint32(1)) + offset, starts)
        mixed = _mix(minima)
        return mixed.astype(np.uint8).T.copy(), _mix(np.add.reduce(mixed, axis=0, dtype=np.uint32))


def similarity(these: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return (N,) estimated similarities of (N, HASHES) signatures; the standard error is at most 0.07."""
    equal = (these == others).mean(axis=-1)
    estimate: np.ndarray = np.maximum(0, (equal - 1 / 256) / (1 - 1 / 256))
    return estimate


def _mix(values: np.ndarray) -> np.ndarray:
    """Mix every bit into all others. Source: the finaliser of MurmurHash3, Austin Appleby, public domain."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    mixed: np.ndarray = values ^ (values >> np.uint32(16))
    return mixed


class SampledRows:
    """Columns of rows; beyond `max_rows` rows a sample by key, halved as often as needed."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._parts: list[dict[str, np.ndarray]] = []
        self._rows = 0
        self.one_in = 1

    def add(self, keys: np.ndarray, **columns: np.ndarray) -> None:
        """Add rows; the keys must be evenly distributed integers."""
        self._parts.append(self._sample({"keys": keys, **columns}))
        self._rows += len(self._parts[-1]["keys"])
        while self._rows > self._max_rows:
            self.one_in *= 2
            self._parts = [self._sample(part) for part in self._parts]
            self._rows = sum(len(part["keys"]) for part in self._parts)

    def columns(self) -> dict[str, np.ndarray]:
        """Return all rows in the order in which they were added."""
        names = list(self._parts[0]) if self._parts else []
        # Column by column, so that little more than one column is in memory twice.
        self._parts = [{name: np.concatenate([part.pop(name) for part in self._parts]) for name in names}]
        return dict(self._parts[0])

    def _sample(self, part: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.one_in == 1:
            return part
        keep = part["keys"] % self.one_in == 0
        return {name: values[keep] for name, values in part.items()}


def conversation_hashes(chunk: Chunk) -> np.ndarray:
    """Return (C,) int64 hashes, equal for equal turns and persona; they differ between runs."""
    return np.array([hash((c.turns, c.persona)) for c in chunk.conversations], dtype=np.int64)


class Fingerprints:
    """Fingerprints of all files: 94 bytes per conversation and 11 per reply; very many are sampled."""

    def __init__(self) -> None:
        self._signatures = Signatures()
        self.conversations = SampledRows(MAX_CONVERSATIONS)
        self.replies = SampledRows(MAX_REPLIES)

    def add(self, file: int, chunk: Chunk) -> None:
        """Add the conversations of a chunk of the file with index `file`."""
        signatures, keys = self._signatures([c.turns for c in chunk.conversations])
        prefix_hashes: list[int] = []  # of each turn with all turns before it
        for conversation in chunk.conversations:
            prefix_hash = 0
            for turn in conversation.turns:
                prefix_hash = hash((prefix_hash, turn))
                prefix_hashes.append(prefix_hash)
        turns = np.array(prefix_hashes, dtype=np.int64)
        sizes = np.diff(chunk.first) - chunk.personas
        last = np.cumsum(sizes) - 1
        self.conversations.add(
            keys,
            hashes=conversation_hashes(chunk),
            turns=turns[last],
            signatures=signatures,
            files=np.full(len(last), file, dtype=np.uint16),
            lines=chunk.lines,
        )
        replies = np.setdiff1d(np.arange(len(turns)), last + 1 - sizes)  # all turns but the first ones
        files = np.full(len(replies), file, dtype=np.uint16)
        self.replies.add(turns[replies], files=files, whole=np.isin(replies, last))
