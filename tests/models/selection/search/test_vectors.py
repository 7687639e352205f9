"""Candidate matrices: removed candidates, 16-bit vectors, shapes."""

import pytest
import torch

from convmodel.models.selection.search.exact import search_exact
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts
from tests.models.selection.search.oracle import check, exact, ragged_mask, search_bi

pytestmark = pytest.mark.machine


def test_removed_candidates_are_not_returned() -> None:
    candidates = torch.randn(5_000, 9)
    vectors = torch.randn(2, 3, 9)
    mask = ragged_mask(2, 3)
    removed = torch.zeros(5_000, dtype=torch.bool)
    scores = exact(vectors, mask, candidates)
    removed[scores.topk(50).indices.flatten()] = True
    remaining = scores.masked_fill(removed, -torch.inf)
    for quantise in (True, False):
        matrix = CandidateMatrix(candidates, removed=removed, quantise=quantise)
        check(search_exact(EncodedContexts(vectors, mask), matrix, 10), remaining, 10)
        everything = search_exact(EncodedContexts(vectors, mask), matrix, 10_000)
        assert everything.ids.shape[1] == matrix.left == int((~removed).sum())
        assert not removed[everything.ids].any()
    with pytest.raises(ValueError, match="k=1 of 0 candidates"):
        search_bi(vectors[:, 0], CandidateMatrix(candidates, removed=torch.ones(5_000, dtype=torch.bool)), 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_candidates_are_searched_without_conversion_errors(dtype: torch.dtype) -> None:
    candidates = torch.randn(5_000, 20).to(dtype)
    contexts = torch.randn(3, 20).to(dtype)
    scores = contexts.double() @ candidates.double().T
    for searchable in (candidates, CandidateMatrix(candidates)):
        check(search_bi(contexts, searchable, 7), scores, 7)


def test_vectors_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vectors of shape \(3,\); give vectors \(N, D\)"):
        CandidateMatrix(torch.randn(3))
