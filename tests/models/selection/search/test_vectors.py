"""Candidate matrices: removed candidates, 16-bit vectors, shapes."""

import pytest
import torch

from convmodel.models.selection.search.exact import search_exact
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts
from tests.models.selection.search.oracle import check, exact, search_bi, some_found

pytestmark = pytest.mark.machine


def test_those_that_are_gone_are_not_found() -> None:
    candidates, vectors = torch.randn(5_000, 9), torch.randn(2, 3, 9)
    found, gone = some_found(2, 3), torch.zeros(5_000, dtype=torch.bool)
    scores = exact(vectors, found, candidates)
    gone[scores.topk(50).indices.flatten()] = True
    left = scores.masked_fill(gone, -torch.inf)
    for quantise in (True, False):
        shelf = CandidateMatrix(candidates, removed=gone, quantise=quantise)
        check(search_exact(EncodedContexts(vectors, found), shelf, 10), left, 10)
        everything = search_exact(EncodedContexts(vectors, found), shelf, 10_000)
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


def test_vectors_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vectors of shape \(3,\); give \(N, D\)"):
        CandidateMatrix(torch.randn(3))
