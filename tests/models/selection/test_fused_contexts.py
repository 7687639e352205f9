"""Values of words of a context, and search of many contexts in spans."""

import pytest
import torch

from convmodel.models.selection import fused_contexts
from convmodel.models.selection.fused_contexts import ContextWords, search_table
from convmodel.models.selection.fused_selector import candidate_table
from convmodel.models.selection.lexical import WordIndex, WordStatistics, WordTable
from tests.conftest import TEXTS, MakeSelector
from tests.models.selection.fusions import fused

CONTEXTS = [[text] for text in TEXTS[:5]]


def test_a_turn_that_was_said_is_known_by_its_words() -> None:
    words = ContextWords.of(["I like the sea!", "I like the sea", "So do I."])
    index = WordIndex(WordTable.of(["i like the SEA", "the sea", "So do I", "..."]), WordStatistics.of(["a"]))
    assert words.value("said_already", index).tolist() == [1.0, 0.0, 1.0, 0.0]
    assert words.value("bm25_persona", index).tolist() == [0.0] * 4


@pytest.mark.parametrize("lexical", [True, False])
def test_many_contexts_are_searched_as_one_at_a_time(
    lexical: bool, make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    selector = fused(None if lexical else make_selector())
    table = candidate_table(selector, TEXTS)
    encoded = selector.encode_contexts([*CONTEXTS, [TEXTS[0], TEXTS[1]]])
    expected = search_table(encoded, table, 4)
    monkeypatch.setattr(fused_contexts, "SPAN", 2 * len(TEXTS))
    best = search_table(encoded, table, 4)
    assert torch.equal(best.ids, expected.ids) and torch.equal(best.scores, expected.scores)
    scores = torch.stack([encoded.score(row, table) for row in range(len(encoded))])
    torch.testing.assert_close(best.scores, scores.sort(1, descending=True).values[:, :4], rtol=1e-5, atol=1e-5)
