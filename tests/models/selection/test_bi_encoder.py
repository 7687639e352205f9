"""The scale of cosines, and separate candidate encoders."""

import pytest
import torch

from convmodel.models.selection.bi_encoder import BiEncoder
from tests.models.selection.conftest import MakeSelector

pytestmark = pytest.mark.machine

CONTEXTS = [["Hello"], ["Where do you live?", "By the sea"]]
CANDIDATES = ["I am fine", "I live by the sea", "No"]


def test_with_a_cosine_scale_scores_are_multiples_of_the_cosine(make_selector: MakeSelector) -> None:
    plain = make_selector(BiEncoder)
    contexts = plain.encode_contexts(CONTEXTS).vectors[:, 0]
    candidates = plain.encode_candidates(CANDIDATES)
    cosines = torch.nn.functional.cosine_similarity(contexts[:, None], candidates[None], dim=-1)
    scaled = make_selector(BiEncoder, cosine_scale=20.0).score(CONTEXTS, CANDIDATES)
    torch.testing.assert_close(scaled, 20 * cosines, atol=1e-4, rtol=1e-4)


def test_a_cosine_scale_must_be_positive(make_selector: MakeSelector) -> None:
    with pytest.raises(ValueError, match=r"cosine_scale=0\.0; it must be above 0, or None"):
        make_selector(BiEncoder, cosine_scale=0.0)


def test_candidates_have_their_own_encoder_unless_it_is_shared(make_selector: MakeSelector) -> None:
    shared, separate = (make_selector(BiEncoder, shared=value).network for value in (True, False))
    assert shared.candidates is shared.contexts and separate.candidates is not separate.contexts
