"""Words of candidates, document frequencies of words, and BM25 scores of candidates, computed by the library bm25s."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from struct import Struct
from typing import Any, Self

import bm25s
import numpy as np

from convmodel.metrics.words import words

K1 = 1.5
"""Parameter k1 of BM25: how slowly repetitions of a word in a candidate saturate."""

B = 0.75
"""Parameter b of BM25: influence of a candidate's length, from 0 to 1."""

ROW = np.dtype([("word", "<i8"), ("count", "<i4")])
"""The type of a row in a `WordTable`: a distinct word of a text, as its id and its number of occurrences."""


_pack_row = Struct("<qi").pack


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little") >> 1


@lru_cache(maxsize=1 << 17)
def word_id(word: str) -> int:
    """Return a 63-bit hash of a word as its id, so that no vocabulary has to be stored."""
    return _digest(word)


def word_ids(texts: Iterable[str]) -> np.ndarray:
    """Return the ids of the distinct words of texts, in ascending order."""
    return np.array(sorted({word_id(word) for text in texts for word in words(text)}), dtype=np.int64)


def text_id(text: str) -> int:
    """Return a hash that is equal for texts with the same words in the same order, regardless of punctuation."""
    return _digest(" ".join(words(text)) or text.strip())


def encode_words(text: str) -> bytes:
    """Return a text's words as rows of `ROW`; the first row contains the `text_id` and the count 0."""
    of_text = words(text)
    first = _pack_row(_digest(" ".join(of_text) or text.strip()), 0)
    return first + b"".join(_pack_row(word_id(word), count) for word, count in Counter(of_text).items())


class WordTable:
    """The words of N texts.

    Args:
        rows: the rows of `encode_words` of all texts, concatenated.
        ends: (N,) the index after each text's last row.

    Raises:
        ValueError: when rows and ends do not match.
    """

    def __init__(self, rows: np.ndarray, ends: np.ndarray) -> None:
        self.rows = rows
        self.starts = np.concatenate([[0], ends[:-1]]) if len(ends) else np.zeros(0, dtype=np.int64)
        self.ends = ends
        firsts = np.flatnonzero(rows["count"] == 0)
        if len(firsts) != len(ends) or (firsts != self.starts).any() or (len(ends) and ends[-1] != len(rows)):
            raise ValueError("the words do not match the texts")

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Return the word table of some texts."""
        encoded = [encode_words(text) for text in texts]
        ends = np.cumsum([len(data) // ROW.itemsize for data in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=ROW), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def take(self, numbers: Sequence[int]) -> "WordTable":
        """Return the table of the texts with the given numbers."""
        parts = [self.rows[self.starts[number] : self.ends[number]] for number in numbers]
        return WordTable(np.concatenate(parts), np.cumsum([len(part) for part in parts], dtype=np.int64))

    @cached_property
    def lengths(self) -> np.ndarray:
        """The (N,) numbers of words of the texts, including repetitions."""
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        lengths: np.ndarray = np.add.reduceat(self.rows["count"].astype(np.int64), self.starts)
        return lengths

    @cached_property
    def log_lengths(self) -> np.ndarray:
        """The (N,) logarithms of 1 + the number of words."""
        logarithms: np.ndarray = np.log1p(self.lengths.astype(np.float64))
        return logarithms

    @cached_property
    def _sorted_ids(self) -> tuple[np.ndarray, np.ndarray]:
        ids = self.rows["word"][self.starts]
        order = np.argsort(ids, kind="stable")
        return ids[order], order

    def find(self, wanted: Sequence[int]) -> np.ndarray:
        """Return the numbers of the texts whose `text_id` is in `wanted`."""
        ids, order = self._sorted_ids
        left = np.searchsorted(ids, wanted, side="left")
        right = np.searchsorted(ids, wanted, side="right")
        return np.concatenate([order[begin:end] for begin, end in zip(left, right, strict=True)] or [order[:0]])


@dataclass(frozen=True)
class WordStatistics:
    """Document frequencies of words in a collection of texts.

    Args:
        texts: the number of texts, at least 1.
        mean_length: the mean number of words of a text, above 0.
        frequencies: the number of texts that contain a word, for each word in at least two texts. All other words count
            as words of one text.
    """

    texts: int
    mean_length: float
    frequencies: dict[str, int]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Return the statistics of some texts."""
        count = total = 0
        frequencies: Counter[str] = Counter()
        for text in texts:
            of_text = words(text)
            count += 1
            total += len(of_text)
            frequencies.update(set(of_text))
        repeated = {word: number for word, number in sorted(frequencies.items()) if number > 1}
        return cls(max(count, 1), max(total, 1) / max(count, 1), repeated)

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        ids = np.array([word_id(word) for word in self.frequencies], dtype=np.int64)
        order = np.argsort(ids)
        return ids[order], np.array(list(self.frequencies.values()), dtype=np.float64)[order]

    def idf(self, ids: np.ndarray) -> np.ndarray:
        """Return the inverse document frequencies of words by id.

        As in Lucene, a word in n of N texts has the inverse document frequency ln(1 + (N - n + 1/2) / (n + 1/2)).
        """
        known, frequencies = self._sorted
        number = np.ones(len(ids))
        if len(known):
            places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
            number = np.where(known[places] == ids, frequencies[places], 1.0)
        return np.log1p((self.texts - number + 0.5) / (number + 0.5))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values from which `WordStatistics(**values)` restores the statistics."""
        return {"texts": self.texts, "mean_length": self.mean_length, "frequencies": self.frequencies}


class WordIndex:
    """An index that computes BM25 scores of a table's texts; safe to use from several threads.

    A text's score depends on the statistics, which may be those of other texts, but not on the table. It is the same in
    an index, in a pool of twenty candidates, and after texts were added.
    """

    def __init__(self, table: WordTable, statistics: WordStatistics) -> None:
        self.table = table
        self._count = len(table)
        is_word = table.rows["count"] > 0
        numbers = np.repeat(np.arange(len(table)), table.ends - table.starts)[is_word]
        counts = table.rows["count"][is_word].astype(np.float64)
        self._ids, columns = np.unique(table.rows["word"][is_word], return_inverse=True)
        order = np.argsort(columns, kind="stable")
        lengths = table.lengths / statistics.mean_length
        impacts = statistics.idf(self._ids)[columns] * counts / (counts + K1 * (1 - B + B * lengths[numbers]))
        # The library can only compute statistics of the indexed texts. Its scores are therefore assigned, as when it
        # loads an index.
        self._bm25 = bm25s.BM25(k1=K1, b=B, method="lucene", dtype="float64", int_dtype="int64")
        self._bm25.nonoccurrence_array = None
        self._bm25.scores = {
            "data": impacts[order],
            "indices": numbers[order],
            "indptr": np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=len(self._ids)))]).astype(np.int64),
            "num_docs": len(table),
        }

    def scores(self, ids: np.ndarray) -> np.ndarray:
        """Return the (N,) float64 BM25 scores of the texts for distinct word ids."""
        places = np.searchsorted(self._ids, ids)
        is_known = places < len(self._ids)
        is_known[is_known] = self._ids[places[is_known]] == ids[is_known]
        if not is_known.any():
            return np.zeros(self._count)
        scores: np.ndarray = self._bm25.get_scores_from_ids(places[is_known])
        return scores
