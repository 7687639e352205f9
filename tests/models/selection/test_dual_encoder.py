"""Scores of encoded contexts and candidates, against each pair alone."""

import pytest
import torch

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.layout import pad_rows
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.scoring import poly_scores
from convmodel.models.selection.search.exact import search_exact
from tests.models.selection.conftest import MakeSelector

pytestmark = pytest.mark.machine


CONTEXTS = [["Hello"], ["Hello", "I am fine", "How are you?"], ["Where do you live?", "By the sea, in a small house"]]


CANDIDATES = ["I am fine", "I live by the sea", "Do you like music? Yes, I play the guitar", "No"]


PERSONAS = [[], ["I like the rain."], ["I live in a house.", "I play the piano."]]


ALL = [(cls, kind) for cls in (BiEncoder, PolyEncoder) for kind in ("bert", "distilbert", "gpt2")]


@pytest.mark.parametrize(("cls", "architecture"), ALL)
def test_a_score_is_that_of_the_pair_alone_without_padding(
    make_selector: MakeSelector, cls: type[BiEncoder], architecture: str
) -> None:
    selector = make_selector(cls, architecture)
    scores = selector.score(CONTEXTS, CANDIDATES, personas=PERSONAS)
    assert scores.shape == (3, 4) and scores.dtype == torch.float32
    for b, (context, persona) in enumerate(zip(CONTEXTS, PERSONAS, strict=True)):
        for c, candidate in enumerate(CANDIDATES):
            ids = [selector.tokenizer.encode(text) for text in (*persona, *context)]
            row = selector.context_row(ids[len(persona) :], ids[: len(persona)])
            state = selector.network.contexts(pad_rows([row], 0))
            response = selector.network.candidates(
                pad_rows([selector.candidate_row(selector.tokenizer.encode(candidate))], 0)
            )
            position = -1 if architecture == "gpt2" else 0
            if isinstance(selector, PolyEncoder):
                assert selector.codes.codes is not None
                attended = (selector.codes.codes @ state[0].T).softmax(-1) @ state[0]
                expected = poly_scores(
                    attended[None], torch.ones(1, len(attended), dtype=torch.bool), response[:, position]
                )[0, 0]
            else:
                expected = state[0, position] @ response[0, position]
            torch.testing.assert_close(scores[b, c], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cls", [BiEncoder, PolyEncoder])
def test_shared_pools_separate_pools_and_cached_candidates_score_the_same(
    make_selector: MakeSelector, cls: type[BiEncoder]
) -> None:
    selector = make_selector(cls)
    scores = selector.score(CONTEXTS, CANDIDATES)
    pools = [CANDIDATES, CANDIDATES[::-1], CANDIDATES]
    expected = torch.stack([scores[0], scores[1].flip(0), scores[2]])
    torch.testing.assert_close(selector.score(CONTEXTS, pools), expected)
    cached = selector.encode_candidates(CANDIDATES)
    assert cached.shape == (4, 16)
    torch.testing.assert_close(selector.score_encoded(selector.encode_contexts(CONTEXTS), cached), scores)
    best = search_exact(selector.encode_contexts(CONTEXTS), cached, 2)
    assert best.ids.tolist() == scores.argsort(dim=1, descending=True)[:, :2].tolist()


def test_no_contexts_give_no_scores_and_cannot_be_encoded(make_selector: MakeSelector) -> None:
    assert make_selector().score([], CANDIDATES).shape == (0, 4)
    with pytest.raises(ValueError, match="there are no contexts; give at least one"):
        make_selector().encode_contexts([])
