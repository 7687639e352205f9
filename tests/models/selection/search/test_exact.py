"""Search among cached candidates, against scoring and sorting all of them."""

import pytest
import torch
from torch import Tensor

from convmodel.models.selection.scoring import bi_scores, poly_scores
from convmodel.models.selection.search.exact import search_bi, search_poly


def sorted_all(scores: Tensor, k: int) -> tuple[list[list[int]], Tensor]:
    """Python's own sorting of all candidates; of equal scores the smaller number first."""
    rows = [sorted(range(len(row)), key=lambda n: (-float(row[n]), n))[:k] for row in scores]
    return rows, torch.stack([row[ids] for row, ids in zip(scores, rows, strict=True)])


def contexts(rows: int, codes: int, width: int) -> tuple[Tensor, Tensor]:
    """Vectors of contexts, some with fewer than the others, whose missing ones are garbage."""
    found = torch.arange(codes)[None] <= torch.arange(rows)[:, None] * 3 % codes
    vectors = torch.randn(rows, codes, width, dtype=torch.double)
    vectors[~found] = 100.0
    return vectors, found


@pytest.mark.parametrize("k", [1, 10, 700, 5_000])
@pytest.mark.parametrize("chunk", [7, 100, 8_192])
def test_the_best_are_those_of_all_in_order(k: int, chunk: int) -> None:
    if chunk == 7 and k > 10:
        pytest.skip("slow, and nothing new")
    torch.manual_seed(k + chunk)
    candidates = torch.randn(700, 12, dtype=torch.double)
    candidates[350:] = candidates[:350][torch.randint(0, 350, (350,))]  # many are equal
    vectors, found = contexts(5, 8, 12)
    best = search_poly(vectors, found, candidates, k, chunk=chunk)
    ids, scores = sorted_all(poly_scores(vectors, found, candidates), k)
    torch.testing.assert_close(best.scores, scores)
    # Equal candidates may differ in the last bit, as their products are rounded in other places.
    assert torch.equal(candidates[best.ids], candidates[torch.tensor(ids)])
    whole = candidates.mul(4).round(), vectors[:, 0].mul(4).round()  # whole numbers, whose products are exact
    best = search_bi(whole[1], whole[0], k, chunk=chunk)
    ids, scores = sorted_all(bi_scores(whole[1], whole[0]), k)
    torch.testing.assert_close(best.scores, scores)
    assert best.ids.tolist() == ids


@pytest.mark.parametrize(("k", "candidates"), [(0, 3), (-1, 3), (2, 0)])
def test_nothing_to_search_for_or_in_is_refused(k: int, candidates: int) -> None:
    with pytest.raises(ValueError, match=f"k={k} of {candidates} candidates; ask for at least 1 of at least 1"):
        search_bi(torch.randn(1, 4), torch.randn(candidates, 4), k)
    with pytest.raises(ValueError, match=f"k={k} of {candidates} candidates"):
        search_poly(torch.randn(1, 2, 4), torch.ones(1, 2, dtype=torch.bool), torch.randn(candidates, 4), k)
