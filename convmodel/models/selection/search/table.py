"""Vectors and words of candidates, as searches need them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from convmodel.models.selection.lexical import WordIndex, WordStatistics, WordTable
from convmodel.models.selection.search.vectors import CandidateMatrix


class CandidateTable:
    """Vectors of candidates, and their words, which are read when a search first needs them.

    Args:
        vectors: (N, D); D is 0 for a selector without an encoder.
        read_words: returns the words of the N candidates.
        questions: the questions that candidates answer; None if there are none.
    """

    def __init__(
        self,
        vectors: CandidateMatrix,
        read_words: Callable[[], WordTable],
        questions: "QuestionTable | None" = None,
    ) -> None:
        self.vectors = vectors
        self.questions = questions
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
        questions = self.questions.take(numbers) if self.questions else None
        return CandidateTable(CandidateMatrix(vectors, quantise=False), lambda: words, questions)


@dataclass(frozen=True, slots=True)
class QuestionTable:
    """Questions that some of N candidates answer.

    Args:
        table: the Q questions, encoded as candidates.
        owners: (Q,) the number of each question's candidate, from 0 to N - 1.
        candidates: N.
    """

    table: CandidateTable
    owners: np.ndarray
    candidates: int

    def best(self, values: np.ndarray) -> np.ndarray:
        """Return the largest of the (Q,) values of each candidate's questions; 0 if it has none."""
        largest = np.full(self.candidates, -np.inf)
        np.maximum.at(largest, self.owners, values)
        return np.where(np.isneginf(largest), 0.0, largest)

    def within(self, rows: range) -> "QuestionTable | None":
        """Return the questions of successive candidates; None if these have no questions."""
        chosen = np.flatnonzero((self.owners >= rows.start) & (self.owners < rows.stop))
        if not len(chosen):
            return None
        return QuestionTable(self.table.take(chosen.tolist()), self.owners[chosen] - rows.start, len(rows))

    def take(self, numbers: Sequence[int]) -> "QuestionTable | None":
        """Return the questions of some of the candidates; None if these have no questions."""
        pairs = [(new, q) for new, old in enumerate(numbers) for q in np.flatnonzero(self.owners == old).tolist()]
        if not pairs:
            return None
        owners, questions = zip(*pairs, strict=True)
        return QuestionTable(self.table.take(questions), np.array(owners), len(numbers))
