"""Pruning of pairs that cannot be among the best."""

import pytest
import torch
from torch import Tensor

from convmodel.models.selection.scoring import poly_scores
from convmodel.models.selection.search import exact as search
from convmodel.models.selection.search import pruning as survivors
from convmodel.models.selection.search.bounds import Float32Pass, Int8Pass
from convmodel.models.selection.search.exact import search_exact
from convmodel.models.selection.search.int8 import has_fast_int8
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts
from tests.models.selection.search.oracle import exact, ragged_mask, sorted_all

pytestmark = pytest.mark.machine


def test_results_do_not_depend_on_the_sizes_of_blocks_and_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = torch.randn(20_000, 8)
    vectors = torch.randn(3, 4, 8)
    mask = ragged_mask(3, 4)
    expected = search_exact(EncodedContexts(vectors, mask), CandidateMatrix(candidates), 6)
    monkeypatch.setattr(survivors, "SPAN", 1)
    monkeypatch.setattr(search, "ROWS", 4)
    for again in (CandidateMatrix(candidates), candidates):
        best = search_exact(EncodedContexts(vectors, mask), again, 6, chunk=700)
        assert torch.equal(best.ids, expected.ids) and torch.equal(best.scores, expected.scores)


def test_few_pairs_survive_and_the_best_are_among_them() -> None:
    vectors = torch.randn(2, 4, 64)
    mask = torch.ones(2, 4, dtype=torch.bool)
    candidates = torch.randn(20_000, 64)
    scores = exact(vectors, mask, candidates)

    def known(rows: Tensor, ids: Tensor) -> Tensor:
        return poly_scores(vectors.double(), mask, candidates[ids].double())[rows, torch.arange(len(ids))]

    matrix = CandidateMatrix(candidates)
    scored = (
        Int8Pass(EncodedContexts(vectors, mask), matrix)
        if has_fast_int8()
        else Float32Pass(EncodedContexts(vectors, mask), matrix)
    )
    pairs = survivors.survivors(scored, 10, exact=known, limit=2_500)
    assert pairs is not None and len(pairs.rows) < 1_000
    for row, ids in enumerate(sorted_all(scores, 10)):
        assert set(ids) <= set(pairs.ids[pairs.rows == row].tolist())
    assert survivors.survivors(scored, 10, exact=known, limit=19) is None
