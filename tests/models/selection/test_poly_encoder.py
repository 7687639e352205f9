"""Scores and searches of encoded contexts with several vectors."""

import pytest
import torch

from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.scoring import bi_scores
from convmodel.models.selection.search.exact import search_exact
from tests.models.selection.conftest import MakeSelector

pytestmark = pytest.mark.machine

CONTEXTS = [["Hello"], ["Where do you live?", "By the sea"]]
CANDIDATES = ["I am fine", "I live by the sea", "No", "Do you like music?"]


@pytest.mark.parametrize("codes", ["learnt", "first", "last"])
def test_encoded_scores_and_search_use_all_vectors_of_a_context(make_selector: MakeSelector, codes: str) -> None:
    selector = make_selector(PolyEncoder, num_codes=5, codes=codes)
    contexts = selector.encode_contexts(CONTEXTS)
    candidates = selector.encode_candidates(CANDIDATES)
    assert contexts.vectors.shape[1] == 5
    scores = selector.score_encoded(contexts, candidates)
    torch.testing.assert_close(scores, selector.score(CONTEXTS, CANDIDATES))
    assert not torch.allclose(scores, bi_scores(contexts.vectors[:, 0], candidates))
    best = search_exact(contexts, candidates, 4)
    assert torch.equal(best.ids, scores.argsort(1, descending=True))
    torch.testing.assert_close(best.scores, scores.sort(1, descending=True).values)


def test_one_code_scores_as_a_bi_encoder(make_selector: MakeSelector) -> None:
    selector = make_selector(PolyEncoder, num_codes=1)
    contexts = selector.encode_contexts(CONTEXTS)
    candidates = selector.encode_candidates(CANDIDATES)
    expected = bi_scores(contexts.vectors[:, 0], candidates)
    torch.testing.assert_close(selector.score_encoded(contexts, candidates), expected)
