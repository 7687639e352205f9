"""Vectors and words of candidates, as searches need them."""

import threading
from collections.abc import Callable, Sequence

import torch

from convmodel.models.selection.lexical import WordIndex, WordStatistics, WordTable
from convmodel.models.selection.search.vectors import CandidateMatrix


class CandidateTable:
    """Vectors of candidates, and their words, which are read when a search first needs them.

    Args:
        vectors: (N, D); D is 0 for a selector without an encoder.
        read_words: returns the words of the N candidates.
    """

    def __init__(self, vectors: CandidateMatrix, read_words: Callable[[], WordTable]) -> None:
        self.vectors = vectors
        self._read_words = read_words
        self._lock = threading.Lock()
        self._indexed: tuple[WordStatistics, WordIndex] | None = None
        self._words: WordTable | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def word_index(self, statistics: WordStatistics) -> WordIndex:
        """Return the BM25 index of the words; repeated calls with the same statistics return the same index."""
        with self._lock:
            if self._words is None:
                self._words = self._read_words()
            if self._indexed is None or self._indexed[0] is not statistics:
                self._indexed = (statistics, WordIndex(self._words, statistics))
            return self._indexed[1]

    def words(self) -> WordTable:
        """Return the words of all candidates."""
        with self._lock:
            if self._words is None:
                self._words = self._read_words()
            return self._words

    def take(self, numbers: Sequence[int]) -> "CandidateTable":
        """Return the table of the candidates with the given numbers, in this order."""
        words = self.words().take(numbers)
        vectors = self.vectors.vectors[torch.tensor(numbers, device=self.vectors.vectors.device)]
        return CandidateTable(CandidateMatrix(vectors, quantise=False), lambda: words)
