"""Tables of candidates: words are read once, and parts have the words and vectors of the whole."""

import numpy as np
import torch

from convmodel.models.selection.lexical import WordStatistics, WordTable, word_ids
from convmodel.models.selection.search.table import CandidateTable
from convmodel.models.selection.search.vectors import CandidateMatrix

TEXTS = ["the sea", "rain", "the rain and the sea"]


def test_words_are_read_when_they_are_needed_and_once() -> None:
    reads: list[int] = []

    def read() -> WordTable:
        reads.append(1)
        return WordTable.of(TEXTS)

    table = CandidateTable(CandidateMatrix(torch.randn(3, 2)), read)
    assert len(table) == 3 and not reads
    statistics = WordStatistics.of(TEXTS)
    index = table.word_index(statistics)
    assert table.word_index(statistics) is index and table.words() is index.table and len(reads) == 1
    assert table.word_index(WordStatistics.of(TEXTS)) is not index and len(reads) == 1


def test_a_part_has_the_vectors_and_scores_of_the_whole() -> None:
    vectors, statistics, ids = torch.randn(3, 2), WordStatistics.of(TEXTS), word_ids(["the sea"])
    table = CandidateTable(CandidateMatrix(vectors), lambda: WordTable.of(TEXTS))
    part = table.take([2, 0])
    assert torch.equal(part.vectors.vectors, vectors[[2, 0]])
    np.testing.assert_array_equal(
        part.word_index(statistics).scores(ids), table.word_index(statistics).scores(ids)[[2, 0]]
    )
