"""Scores in float64, and the checks of a search against them."""

import torch
from torch import Tensor

from convmodel.models.selection.search.exact import TopK, search_exact
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts


def exact(vectors: Tensor, mask: Tensor, candidates: Tensor) -> Tensor:
    """The scores of the usual form, softmax(C Y') Y and then the product with C, in float64."""
    rows = []
    for context, valid in zip(vectors.double(), mask, strict=True):
        codes = context[valid]
        wide = candidates.double()
        rows.append((((wide @ codes.T).softmax(-1) @ codes) * wide).sum(-1))
    return torch.stack(rows)


def sorted_all(scores: Tensor, k: int) -> list[list[int]]:
    """Python's own sorting, after rounding to float32; of equal scores the smaller number first."""
    return [sorted(range(len(row)), key=lambda n: (-row[n], n))[:k] for row in scores.float().tolist()]


def check(best: TopK, scores: Tensor, k: int) -> None:
    """Numbers and scores are those of sorting all."""
    assert best.ids.tolist() == sorted_all(scores, k)
    torch.testing.assert_close(best.scores, scores.float().gather(1, best.ids), rtol=1e-6, atol=1e-6)


def ragged_mask(rows: int, codes: int) -> Tensor:
    return torch.arange(codes)[None] <= torch.arange(rows)[:, None] * 3 % codes


def search_bi(contexts: Tensor, candidates: Tensor | CandidateMatrix, k: int, *, chunk: int = 8_192) -> TopK:
    """The exact search for contexts of one vector each."""
    mask = torch.ones(len(contexts), 1, dtype=torch.bool)
    return search_exact(EncodedContexts(contexts[:, None], mask), candidates, k, chunk=chunk)
