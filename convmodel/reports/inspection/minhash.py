"""MinHash fingerprints of conversations, by which equal and similar ones are found without keeping their texts.

The similarity of two conversations is the Jaccard similarity of their sets of pairs of neighbouring words: the size of
the intersection divided by the size of the union. Case and punctuation are ignored. MinHash estimates the similarity
from 64 numbers, of which 8 bits each are kept.
Sources: Broder 1997, On the resemblance and containment of documents; Li and Koenig, arXiv:0910.3349 (b-bit).
"""

import re
import zlib
from collections.abc import Sequence
from itertools import chain

import numpy as np

from convmodel.reports.inspection.chunks import Chunk

HASHES = 64
"""Number of hashes of a signature, of one byte each."""

MAX_CONVERSATIONS = 1_000_000
MAX_REPLIES = 4_000_000
"""Maximum numbers of items. More are sampled by a hash, so that all copies of an item are in the sample, or none."""

_WORDS = re.compile(r"\w+")
# Scripts without spaces between words, in which each character counts as a word.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORDS_AND_CHARACTERS = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_MAX_CACHED = 500_000
_SEEDS = np.random.default_rng(1).integers(1, 1 << 32, (2, HASHES), dtype=np.uint32)


def words_of(turns: Sequence[str]) -> list[str]:
    """Return the words of a conversation in lower case; [""] if it has none."""
    text = "\n".join(turns).lower()
    pattern = _WORDS if text.isascii() else _WORDS_AND_CHARACTERS
    return pattern.findall(text) or [""]


class _WordHashes(dict[str, int]):
    """Cache of the CRC-32 of words, which is the same in every run, unlike `hash`."""

    def __missing__(self, word: str) -> int:
        self[word] = value = zlib.crc32(word.encode())
        return value


class Signatures:
    """Computes MinHash signatures of conversations."""

    def __init__(self) -> None:
        self._hashes = _WordHashes()

    def __call__(self, conversations: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Return (C, HASHES) uint8 signatures and (C,) uint32 sampling keys of the turns of C conversations.

        The share of equal bytes of two signatures estimates the similarity; see `similarity`. Conversations with equal
        sets of word pairs have equal keys.
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
    """Return the (N,) estimated similarities of pairs of signatures, (N, HASHES).

    The standard error is at most 0.07.
    """
    equal = (these == others).mean(axis=-1)
    estimate: np.ndarray = np.maximum(0, (equal - 1 / 256) / (1 - 1 / 256))
    return estimate


def _mix(values: np.ndarray) -> np.ndarray:
    """Return hashes of uint32 values, in which each bit depends on all bits of the value.

    Source: the finaliser of MurmurHash3, Austin Appleby, public domain.
    """
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    mixed: np.ndarray = values ^ (values >> np.uint32(16))
    return mixed


class SampledRows:
    """Table of at most `max_rows` rows, stored by column.

    If more rows are added, only those whose key is divisible by `one_in` are kept. `one_in` is doubled whenever the
    table is full.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._parts: list[dict[str, np.ndarray]] = []
        self._rows = 0
        self.one_in = 1

    def add(self, keys: np.ndarray, **columns: np.ndarray) -> None:
        """Add rows. The keys must be uniformly distributed integers, such as hashes."""
        self._parts.append(self._sample({"keys": keys, **columns}))
        self._rows += len(self._parts[-1]["keys"])
        while self._rows > self._max_rows:
            self.one_in *= 2
            self._parts = [self._sample(part) for part in self._parts]
            self._rows = sum(len(part["keys"]) for part in self._parts)

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns of the kept rows, in the order in which the rows were added."""
        names = list(self._parts[0]) if self._parts else []
        # One column at a time, so that only one column is in memory twice.
        self._parts = [{name: np.concatenate([part.pop(name) for part in self._parts]) for name in names}]
        return dict(self._parts[0])

    def _sample(self, part: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.one_in == 1:
            return part
        keep = part["keys"] % self.one_in == 0
        return {name: values[keep] for name, values in part.items()}


def conversation_hashes(chunk: Chunk) -> np.ndarray:
    """Return (C,) int64 hashes of turns and persona. They are not the same in every run of Python."""
    return np.array([hash((c.turns, c.persona)) for c in chunk.conversations], dtype=np.int64)


class Fingerprints:
    """Fingerprints of the conversations and replies of all files.

    A conversation takes 94 bytes and a reply 11 bytes. Of more than `MAX_CONVERSATIONS` or `MAX_REPLIES`, samples are
    kept.
    """

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
