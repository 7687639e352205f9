"""Search among cached candidates, against scoring and sorting all of them."""

import pytest
import torch
from torch import Tensor

from convmodel.models.selection.scoring import bi_scores, poly_scores
from convmodel.models.selection.search.exact import search_exact
from convmodel.models.selection.search.vectors import EncodedContexts
from tests.models.selection.search.oracle import check, exact, ragged_mask, search_bi


def sorted_scores(scores: Tensor, k: int) -> tuple[list[list[int]], Tensor]:
    """The k best of each row by Python's sorting; of equal scores the smaller index first."""
    rows = [sorted(range(len(row)), key=lambda n: (-float(row[n]), n))[:k] for row in scores]
    return rows, torch.stack([row[ids] for row, ids in zip(scores, rows, strict=True)])


def contexts(rows: int, codes: int, width: int) -> tuple[Tensor, Tensor]:
    """Context vectors and their mask; masked vectors have large values."""
    mask = torch.arange(codes)[None] <= torch.arange(rows)[:, None] * 3 % codes
    vectors = torch.randn(rows, codes, width, dtype=torch.double)
    vectors[~mask] = 100.0
    return vectors, mask


@pytest.mark.parametrize("k", [1, 10, 700, 5_000])
@pytest.mark.parametrize("chunk", [7, 100, 8_192])
def test_search_equals_sorting_all_scores(k: int, chunk: int) -> None:
    if chunk == 7 and k > 10:
        pytest.skip("slow, and nothing new")
    torch.manual_seed(k + chunk)
    candidates = torch.randn(700, 12, dtype=torch.double)
    candidates[350:] = candidates[:350][torch.randint(0, 350, (350,))]  # many are equal
    vectors, mask = contexts(5, 8, 12)
    best = search_exact(EncodedContexts(vectors, mask), candidates, k, chunk=chunk)
    ids, scores = sorted_scores(poly_scores(vectors, mask, candidates), k)
    torch.testing.assert_close(best.scores, scores)
    # Equal candidates may differ in the last bit, as their products are rounded in other places.
    assert torch.equal(candidates[best.ids], candidates[torch.tensor(ids)])
    integers = candidates.mul(4).round(), vectors[:, 0].mul(4).round()  # whole numbers, whose products are exact
    best = search_bi(integers[1], integers[0], k, chunk=chunk)
    ids, scores = sorted_scores(bi_scores(integers[1], integers[0]), k)
    torch.testing.assert_close(best.scores, scores)
    assert best.ids.tolist() == ids


@pytest.mark.parametrize(("k", "candidates"), [(0, 3), (-1, 3), (2, 0)])
def test_no_candidates_or_k_below_1_is_refused(k: int, candidates: int) -> None:
    with pytest.raises(ValueError, match=f"k={k} of {candidates} candidates; ask for at least 1 of at least 1"):
        search_bi(torch.randn(1, 4), torch.randn(candidates, 4), k)
    with pytest.raises(ValueError, match=f"k={k} of {candidates} candidates"):
        search_exact(
            EncodedContexts(torch.randn(1, 2, 4), torch.ones(1, 2, dtype=torch.bool)), torch.randn(candidates, 4), k
        )


pytestmark = pytest.mark.machine


@pytest.mark.parametrize("scale", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("codes", [1, 5])
def test_search_equals_sorting_all_float64_scores(ready, scale: float, codes: int) -> None:  # type: ignore[no-untyped-def]
    candidates = torch.randn(9_000, 24) * scale
    vectors = torch.randn(7, codes, 24) * scale
    mask = ragged_mask(7, codes)
    searchable = ready(candidates)
    for k in (1, 10, 100):
        check(search_exact(EncodedContexts(vectors, mask), searchable, k), exact(vectors, mask, candidates), k)


@pytest.mark.parametrize("codes", [1, 4])
def test_a_k_above_the_number_of_candidates_gives_all_in_order(ready, codes: int) -> None:  # type: ignore[no-untyped-def]
    candidates = torch.randn(37, 8)
    vectors = torch.randn(3, codes, 8)
    mask = ragged_mask(3, codes)
    for k in (36, 37, 1_000):
        check(
            search_exact(EncodedContexts(vectors, mask), ready(candidates), k),
            exact(vectors, mask, candidates),
            min(k, 37),
        )


def test_one_candidate_is_the_best(ready) -> None:  # type: ignore[no-untyped-def]
    best = search_bi(torch.tensor([[2.0, 1.0]]), ready(torch.tensor([[0.5, -3.0]])), 10)
    assert (best.ids.tolist(), best.scores.tolist()) == ([[0]], [[-2.0]])


@pytest.mark.parametrize("codes", [1, 3])
def test_of_equal_candidates_the_first_ones_are_returned(ready, codes: int) -> None:  # type: ignore[no-untyped-def]
    candidates = torch.randn(10, 16).repeat(900, 1)  # each 900 times, among all blocks
    vectors = torch.randn(2, codes, 16)
    mask = ragged_mask(2, codes)
    best = search_exact(EncodedContexts(vectors, mask), ready(candidates), 12)
    winners = exact(vectors, mask, candidates[:10]).argmax(1)
    assert best.ids.tolist() == [[int(winner) + 10 * n for n in range(12)] for winner in winners]


@pytest.mark.parametrize("value", [0.0, 1.0, -1e-20])
def test_identical_candidates_are_returned_in_their_order(ready, value: float) -> None:  # type: ignore[no-untyped-def]
    best = search_bi(torch.randn(3, 12), ready(torch.full((5_000, 12), value)), 5)
    assert best.ids.tolist() == [list(range(5))] * 3


@pytest.mark.parametrize("huge", [1e6, 1e18, 3e30])
def test_a_huge_candidate_hides_no_other(ready, huge: float) -> None:  # type: ignore[no-untyped-def]
    candidates = torch.randn(6_000, 10)
    candidates[::997] *= huge
    vectors = torch.randn(4, 1, 10)
    mask = torch.ones(4, 1, dtype=torch.bool)
    check(search_exact(EncodedContexts(vectors, mask), ready(candidates), 20), exact(vectors, mask, candidates), 20)


def test_differences_below_the_error_of_float32_decide_the_order(ready) -> None:  # type: ignore[no-untyped-def]
    # Within the error of 8 bits, and of float32's sums, all are the same.
    candidates = torch.randn(1, 300).repeat(8_000, 1)
    context = candidates[:1].clone()
    better = torch.randperm(8_000)[:30]
    for column, index in enumerate(better):
        candidates[index, column] += candidates[index, column].sign() * 2.0**-16 * (column + 1) ** 2
    mask = torch.ones(1, 1, dtype=torch.bool)
    check(search_bi(context, ready(candidates), 25), exact(context[:, None], mask, candidates), 25)


def test_no_contexts_give_an_empty_result() -> None:
    best = search_bi(torch.empty(0, 4), torch.randn(9, 4), 3)
    assert best.ids.shape == best.scores.shape == (0, 3)
