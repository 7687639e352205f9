"""The search that narrows down in 8 bits, against float64 and Python's sorting, with the worst that can be given."""

import math

import pytest
import torch
from torch import Tensor

from convmodel.models.selection.scoring import poly_scores
from convmodel.models.selection.search import exact as search
from convmodel.models.selection.search import pruning as survivors
from convmodel.models.selection.search.bounds import Float32Pass, Int8Pass, ScoreBounds, SearchQueries
from convmodel.models.selection.search.exact import TopK, search_bi, search_poly
from convmodel.models.selection.search.int8 import FULL, QuantizedBlock, QuantizedVectors, has_fast_int8, range_row
from convmodel.models.selection.search.vectors import CandidateMatrix

pytestmark = pytest.mark.machine

PASSES = [
    Float32Pass,
    pytest.param(Int8Pass, marks=pytest.mark.skipif(not has_fast_int8(), reason="no 8-bit products")),
]


def exact(vectors: Tensor, found: Tensor, candidates: Tensor) -> Tensor:
    """The scores of the usual form, softmax(C Y') Y and then the product with C, in float64."""
    rows = []
    for context, there in zip(vectors.double(), found, strict=True):
        codes, wide = context[there], candidates.double()
        rows.append((((wide @ codes.T).softmax(-1) @ codes) * wide).sum(-1))
    return torch.stack(rows)


def sorted_all(scores: Tensor, k: int) -> list[list[int]]:
    """Python's own sorting, after rounding to float32; of equal scores the smaller number first."""
    return [sorted(range(len(row)), key=lambda n: (-row[n], n))[:k] for row in scores.float().tolist()]


def check(best: TopK, scores: Tensor, k: int) -> None:
    """Numbers and scores are those of sorting all."""
    assert best.ids.tolist() == sorted_all(scores, k)
    torch.testing.assert_close(best.scores, scores.float().gather(1, best.ids), rtol=1e-6, atol=1e-6)


def some_found(rows: int, codes: int) -> Tensor:
    return torch.arange(codes)[None] <= torch.arange(rows)[:, None] * 3 % codes


@pytest.fixture(params=["quantised", "plain", "as they come"])
def ready(request: pytest.FixtureRequest) -> object:
    """Makes candidates searchable in each of the ways."""
    ways = {
        "quantised": CandidateMatrix,
        "plain": lambda candidates: CandidateMatrix(candidates, quantise=False),
        "as they come": lambda candidates: candidates,
    }
    return ways[request.param]


# Whole searches


@pytest.mark.parametrize("scale", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("codes", [1, 5])
def test_the_best_are_those_of_float64(ready, scale: float, codes: int) -> None:  # type: ignore[no-untyped-def]
    candidates, vectors = torch.randn(9_000, 24) * scale, torch.randn(7, codes, 24) * scale
    found = some_found(7, codes)
    shelf = ready(candidates)
    for k in (1, 10, 100):
        check(search_poly(vectors, found, shelf, k), exact(vectors, found, candidates), k)


@pytest.mark.parametrize("codes", [1, 4])
def test_more_than_there_are_gives_all_in_order(ready, codes: int) -> None:  # type: ignore[no-untyped-def]
    candidates, vectors, found = torch.randn(37, 8), torch.randn(3, codes, 8), some_found(3, codes)
    for k in (36, 37, 1_000):
        check(search_poly(vectors, found, ready(candidates), k), exact(vectors, found, candidates), min(k, 37))


def test_one_candidate_is_the_best(ready) -> None:  # type: ignore[no-untyped-def]
    best = search_bi(torch.tensor([[2.0, 1.0]]), ready(torch.tensor([[0.5, -3.0]])), 10)
    assert (best.ids.tolist(), best.scores.tolist()) == ([[0]], [[-2.0]])


@pytest.mark.parametrize("codes", [1, 3])
def test_of_equal_candidates_the_first_ones_are_found(ready, codes: int) -> None:  # type: ignore[no-untyped-def]
    candidates = torch.randn(10, 16).repeat(900, 1)  # each 900 times, among all blocks
    vectors, found = torch.randn(2, codes, 16), some_found(2, codes)
    best = search_poly(vectors, found, ready(candidates), 12)
    winners = exact(vectors, found, candidates[:10]).argmax(1)
    assert best.ids.tolist() == [[int(winner) + 10 * n for n in range(12)] for winner in winners]


@pytest.mark.parametrize("value", [0.0, 1.0, -1e-20])
def test_candidates_that_are_all_alike_come_in_their_order(ready, value: float) -> None:  # type: ignore[no-untyped-def]
    best = search_bi(torch.randn(3, 12), ready(torch.full((5_000, 12), value)), 5)
    assert best.ids.tolist() == [list(range(5))] * 3


@pytest.mark.parametrize("huge", [1e6, 1e18, 3e30])
def test_a_huge_candidate_hides_no_other(ready, huge: float) -> None:  # type: ignore[no-untyped-def]
    candidates = torch.randn(6_000, 10)
    candidates[::997] *= huge
    vectors = torch.randn(4, 1, 10)
    found = torch.ones(4, 1, dtype=torch.bool)
    check(search_poly(vectors, found, ready(candidates), 20), exact(vectors, found, candidates), 20)


def test_a_candidate_better_by_a_breath_is_found_first(ready) -> None:  # type: ignore[no-untyped-def]
    # Within the error of 8 bits, and of float32's sums, all are the same.
    candidates = torch.randn(1, 300).repeat(8_000, 1)
    context = candidates[:1].clone()
    better = torch.randperm(8_000)[:30]
    for number, place in enumerate(better):
        candidates[place, number] += candidates[place, number].sign() * 2.0**-16 * (number + 1) ** 2
    found = torch.ones(1, 1, dtype=torch.bool)
    check(search_bi(context, ready(candidates), 25), exact(context[:, None], found, candidates), 25)


def test_those_that_are_gone_are_not_found() -> None:
    candidates, vectors = torch.randn(5_000, 9), torch.randn(2, 3, 9)
    found, gone = some_found(2, 3), torch.zeros(5_000, dtype=torch.bool)
    scores = exact(vectors, found, candidates)
    gone[scores.topk(50).indices.flatten()] = True
    left = scores.masked_fill(gone, -torch.inf)
    for quantise in (True, False):
        shelf = CandidateMatrix(candidates, removed=gone, quantise=quantise)
        check(search_poly(vectors, found, shelf, 10), left, 10)
        everything = search_poly(vectors, found, shelf, 10_000)
        assert everything.ids.shape[1] == shelf.left == int((~gone).sum())
        assert not gone[everything.ids].any()
    with pytest.raises(ValueError, match="k=1 of 0 candidates"):
        search_bi(vectors[:, 0], CandidateMatrix(candidates, removed=torch.ones(5_000, dtype=torch.bool)), 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_is_kept_in_16_bits_is_searched_as_it_is_kept(dtype: torch.dtype) -> None:
    candidates, contexts = torch.randn(5_000, 20).to(dtype), torch.randn(3, 20).to(dtype)
    scores = contexts.double() @ candidates.double().T
    for shelf in (candidates, CandidateMatrix(candidates)):
        check(search_bi(contexts, shelf, 7), scores, 7)


def test_neither_block_nor_span_decides_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates, vectors, found = torch.randn(20_000, 8), torch.randn(3, 4, 8), some_found(3, 4)
    wanted = search_poly(vectors, found, CandidateMatrix(candidates), 6)
    monkeypatch.setattr(survivors, "SPAN", 1)
    monkeypatch.setattr(search, "ROWS", 4)
    for again in (CandidateMatrix(candidates), candidates):
        best = search_poly(vectors, found, again, 6, chunk=700)
        assert torch.equal(best.ids, wanted.ids) and torch.equal(best.scores, wanted.scores)


def test_no_contexts_find_nothing() -> None:
    best = search_bi(torch.empty(0, 4), torch.randn(9, 4), 3)
    assert best.ids.shape == best.scores.shape == (0, 3)


def test_vectors_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vectors of shape \(3,\); give \(N, D\)"):
        CandidateMatrix(torch.randn(3))


# What is proven


@pytest.mark.parametrize("make", PASSES)
@pytest.mark.parametrize("codes", [1, 6])
def test_no_score_is_above_the_approximate_one_by_more_than_the_error(make: type[ScoreBounds], codes: int) -> None:
    vectors, found = (
        torch.randn(5, codes, 30) * torch.tensor([1e-3, 0.1, 1, 3, 30])[:, None, None],
        some_found(5, codes),
    )
    candidates = torch.randn(5_000, 30) * torch.logspace(-4, 4, 5_000)[:, None]
    scored = make(SearchQueries(vectors, found), CandidateMatrix(candidates))
    scores = exact(vectors, found, candidates)
    seen = 0
    for block in scored:
        part = slice(block.start, block.start + block.scores.shape[1])
        error = scored.of_norm[:, None] * block.norms + scored.of_residual[:, None] * block.residuals
        assert (scores[:, part] <= (block.scores + error).double()).all()
        if make is Float32Pass or codes == 1:
            assert (scores[:, part] >= (block.scores - error).double()).all()
        else:
            slack = found.sum(1).log()[:, None]
            assert (scores[:, part] >= (block.scores - error - slack).double()).all()
        seen += part.stop - part.start
    assert seen == len(candidates)


@pytest.mark.skipif(not has_fast_int8(), reason="no 8-bit products")
def test_the_error_of_rounding_is_reached_at_its_worst() -> None:
    # Every number lies halfway between two steps, and the context points where the rounding went.
    steps = torch.full((1, 64), 0.5)
    steps[0, 1::2] = -0.5
    candidates = (torch.randint(-90, 90, (3, 64)).float() + steps).clamp(-FULL, FULL)
    candidates[:, 0] = FULL
    rounded = QuantizedVectors.of(candidates)
    lost = candidates - rounded.whole * rounded.scales
    contexts = lost * FULL / lost.abs().amax(1, keepdim=True)
    scored = Int8Pass(SearchQueries(contexts[:, None], torch.ones(3, 1, dtype=torch.bool)), CandidateMatrix(candidates))
    [block] = scored
    error = scored.of_norm[:, None] * block.norms + scored.of_residual[:, None] * block.residuals
    shares = ((contexts.double() @ candidates.double().T - block.scores) / error).diagonal()
    assert (shares > 0.9).all() and (shares <= 1).all()


@pytest.mark.skipif(not has_fast_int8(), reason="no 8-bit products")
@pytest.mark.parametrize("width", [2, 3, 64, 777])
def test_products_in_8_bits_are_those_of_whole_numbers(width: int) -> None:
    whole = torch.randint(-FULL, FULL + 1, (70, width)).float()
    whole[0] = FULL
    whole[1] = -FULL
    block = QuantizedBlock.of(whole / FULL)
    scales = whole.abs().amax(1) / FULL
    rows = torch.randint(-FULL, FULL + 1, (9, width)).float()
    rows[0] = FULL
    wanted = rows.double() @ ((whole / scales[:, None]).round() * scales[:, None] / FULL).double().T
    torch.testing.assert_close(
        block.products(torch.cat([rows, range_row(width)])).double(), wanted, rtol=1e-6, atol=1e-4
    )


def test_the_score_lies_between_the_largest_product_and_that_less_the_logarithm() -> None:
    products = torch.randn(2_000, 7, dtype=torch.double) * torch.logspace(-3, 2, 2_000, dtype=torch.double)[:, None]
    scores = (products.softmax(-1) * products).sum(-1)
    assert (scores <= products.amax(1) + 1e-12).all()
    assert (scores >= products.amax(1) - math.log(7)).all()


def test_coarser_products_are_answered_by_a_larger_error() -> None:
    queries = SearchQueries(torch.randn(2, 1, 8), torch.ones(2, 1, dtype=torch.bool))
    scored = Float32Pass(queries, CandidateMatrix(torch.randn(3, 8)))
    fine = scored.of_norm
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert (scored.of_norm > 100 * fine).all()
    finally:
        torch.set_float32_matmul_precision(before)


def test_few_pairs_survive_and_the_best_are_among_them() -> None:
    vectors, found, candidates = torch.randn(2, 4, 64), torch.ones(2, 4, dtype=torch.bool), torch.randn(20_000, 64)
    scores = exact(vectors, found, candidates)

    def known(rows: Tensor, ids: Tensor) -> Tensor:
        return poly_scores(vectors.double(), found, candidates[ids].double())[rows, torch.arange(len(ids))]

    shelf = CandidateMatrix(candidates)
    scored = (
        Int8Pass(SearchQueries(vectors, found), shelf)
        if has_fast_int8()
        else Float32Pass(SearchQueries(vectors, found), shelf)
    )
    pairs = survivors.survivors(scored, 10, exact=known, limit=2_500)
    assert pairs is not None and len(pairs.rows) < 1_000
    for row, ids in enumerate(sorted_all(scores, 10)):
        assert set(ids) <= set(pairs.ids[pairs.rows == row].tolist())
    assert survivors.survivors(scored, 10, exact=known, limit=19) is None
