"""BM25 with words of any script, against the index that bm25s makes itself."""

import bm25s
import numpy as np
import pytest

from convmodel.metrics.words import words
from convmodel.models.selection.lexical import (
    ROW,
    WordIndex,
    WordStatistics,
    WordTable,
    encode_words,
    text_id,
    word_ids,
)

TEXTS = [
    "I like the sea.",
    "The sea, the SEA!",
    "...",
    "Rain, rain and rain",
    "Я люблю море",
    "猫が好き",
    "I don't know",
]
QUERIES = ["the sea", "rain I", "море", "が猫", "I don't like rain", "unknown words", "..."]


@pytest.mark.parametrize("query", QUERIES)
def test_scores_are_those_of_bm25s_for_the_same_texts(query: str) -> None:
    library = bm25s.BM25(method="lucene", dtype="float64")
    library.index([words(text) for text in TEXTS], show_progress=False)
    known = [word for word in dict.fromkeys(words(query)) if word in library.vocab_dict]
    expected = library.get_scores(known) if known else np.zeros(len(TEXTS))
    index = WordIndex(WordTable.of(TEXTS), WordStatistics.of(TEXTS))
    np.testing.assert_allclose(index.scores(word_ids([query])), expected, rtol=1e-12)


def test_a_score_does_not_depend_on_the_other_texts() -> None:
    statistics, table = WordStatistics.of(TEXTS), WordTable.of(TEXTS)
    for query in QUERIES:
        scores = WordIndex(table, statistics).scores(word_ids([query]))
        for chosen in ([3], [6, 0], [2, 2, 1]):
            np.testing.assert_array_equal(
                WordIndex(table.take(chosen), statistics).scores(word_ids([query])), scores[chosen]
            )


def test_a_table_has_lengths_and_finds_texts_by_their_words() -> None:
    table = WordTable.of([*TEXTS, "the sea the sea"])
    assert table.lengths.tolist() == [len(words(text)) for text in [*TEXTS, "the sea the sea"]]
    assert sorted(table.find([text_id("THE SEA: the sea?"), text_id("...")])) == [1, 2, 7]
    assert table.find([text_id("the sea")]).tolist() == [] and table.find([]).tolist() == []
    np.testing.assert_allclose(table.log_lengths, np.log1p(table.lengths))


def test_rows_that_do_not_match_the_texts_are_refused() -> None:
    rows = np.frombuffer(encode_words("a b") + encode_words("c"), dtype=ROW)
    assert WordTable(rows, np.array([3, 5])).lengths.tolist() == [2, 1]
    for ends in ([2, 5], [5], [3, 4], [3, 5, 5]):
        with pytest.raises(ValueError, match="the words do not match the texts"):
            WordTable(rows, np.array(ends))


def test_statistics_are_kept_as_json() -> None:
    statistics = WordStatistics.of(TEXTS)
    assert statistics.frequencies == {"i": 2, "sea": 2, "the": 2} and statistics.texts == len(TEXTS)
    assert WordStatistics(**statistics.to_json()) == statistics
    assert WordStatistics.of([]).idf(word_ids(["a"])).tolist() == pytest.approx([np.log1p(1 / 3)])
