"""Bounds of scores, against exact scores."""

import math

import pytest
import torch

from convmodel.models.selection.search.bounds import Float32Pass, Int8Pass, ScoreBounds
from convmodel.models.selection.search.int8 import FULL, QuantizedVectors, has_fast_int8
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts
from tests.models.selection.search.oracle import exact, ragged_mask

pytestmark = pytest.mark.machine


PASSES = [
    Float32Pass,
    pytest.param(Int8Pass, marks=pytest.mark.skipif(not has_fast_int8(), reason="no 8-bit products")),
]


@pytest.mark.parametrize("make", PASSES)
@pytest.mark.parametrize("codes", [1, 6])
def test_no_score_exceeds_its_bounds(make: type[ScoreBounds], codes: int) -> None:
    vectors = torch.randn(5, codes, 30) * torch.tensor([1e-3, 0.1, 1, 3, 30])[:, None, None]
    mask = ragged_mask(5, codes)
    candidates = torch.randn(5_000, 30) * torch.logspace(-4, 4, 5_000)[:, None]
    scored = make(EncodedContexts(vectors, mask), CandidateMatrix(candidates))
    scores = exact(vectors, mask, candidates)
    count = 0
    for block in scored:
        part = slice(block.start, block.start + block.scores.shape[1])
        error = scored.of_norm[:, None] * block.norms + scored.of_residual[:, None] * block.residuals
        assert (scores[:, part] <= (block.scores + error).double()).all()
        if make is Float32Pass or codes == 1:
            assert (scores[:, part] >= (block.scores - error).double()).all()
        else:
            slack = mask.sum(1).log()[:, None]
            assert (scores[:, part] >= (block.scores - error - slack).double()).all()
        count += part.stop - part.start
    assert count == len(candidates)


@pytest.mark.skipif(not has_fast_int8(), reason="no 8-bit products")
def test_the_int8_error_bound_is_tight_in_the_worst_case() -> None:
    # Every number lies halfway between two steps, and the context points where the rounding went.
    steps = torch.full((1, 64), 0.5)
    steps[0, 1::2] = -0.5
    candidates = (torch.randint(-90, 90, (3, 64)).float() + steps).clamp(-FULL, FULL)
    candidates[:, 0] = FULL
    rounded = QuantizedVectors.of(candidates)
    lost = candidates - rounded.whole * rounded.scales
    contexts = lost * FULL / lost.abs().amax(1, keepdim=True)
    scored = Int8Pass(
        EncodedContexts(contexts[:, None], torch.ones(3, 1, dtype=torch.bool)), CandidateMatrix(candidates)
    )
    [block] = scored
    error = scored.of_norm[:, None] * block.norms + scored.of_residual[:, None] * block.residuals
    shares = ((contexts.double() @ candidates.double().T - block.scores) / error).diagonal()
    assert (shares > 0.9).all() and (shares <= 1).all()


def test_a_poly_score_is_at_most_the_largest_product_and_at_most_ln_m_below_it() -> None:
    products = torch.randn(2_000, 7, dtype=torch.double) * torch.logspace(-3, 2, 2_000, dtype=torch.double)[:, None]
    scores = (products.softmax(-1) * products).sum(-1)
    assert (scores <= products.amax(1) + 1e-12).all()
    assert (scores >= products.amax(1) - math.log(7)).all()


def test_a_lower_matmul_precision_enlarges_the_error_bound() -> None:
    queries = EncodedContexts(torch.randn(2, 1, 8), torch.ones(2, 1, dtype=torch.bool))
    candidates = CandidateMatrix(torch.randn(3, 8))
    fine = Float32Pass(queries, candidates).of_norm
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert (Float32Pass(queries, candidates).of_norm > 100 * fine).all()
    finally:
        torch.set_float32_matmul_precision(before)
