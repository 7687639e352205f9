"""Scores in float64, and the checks of a search against them."""

import torch
from torch import Tensor

from convmodel.models.selection.search.exact import TopK, search_exact
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts


def exact(vectors: Tensor, mask: Tensor, candidates: Tensor) -> Tensor:
    """The poly-encoder's scores as usually written, in float64: softmax(C Y') Y, multiplied with C."""
    rows = []
    for context, valid in zip(vectors.double(), mask, strict=True):
        codes = context[valid]
        wide = candidates.double()
        rows.append((((wide @ codes.T).softmax(-1) @ codes) * wide).sum(-1))
    return torch.stack(rows)


def sorted_all(scores: Tensor, k: int) -> list[list[int]]:
    """The k best of each row by Python's sorting of float32 scores; of equal scores the smaller index first."""
    return [sorted(range(len(row)), key=lambda n: (-row[n], n))[:k] for row in scores.float().tolist()]


def check(best: TopK, scores: Tensor, k: int) -> None:
    """Check that ids and scores are those of sorting all scores."""
    assert best.ids.tolist() == sorted_all(scores, k)
    torch.testing.assert_close(best.scores, scores.float().gather(1, best.ids), rtol=1e-6, atol=1e-6)


def ragged_mask(rows: int, codes: int) -> Tensor:
    return torch.arange(codes)[None] <= torch.arange(rows)[:, None] * 3 % codes


def search_bi(contexts: Tensor, candidates: Tensor | CandidateMatrix, k: int, *, chunk: int = 8_192) -> TopK:
    """The exact search for contexts of one vector each."""
    mask = torch.ones(len(contexts), 1, dtype=torch.bool)
    return search_exact(EncodedContexts(contexts[:, None], mask), candidates, k, chunk=chunk)
