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
from tests.models.selection.search.oracle import exact, some_found, sorted_all

pytestmark = pytest.mark.machine


def test_neither_block_nor_span_decides_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates, vectors, found = torch.randn(20_000, 8), torch.randn(3, 4, 8), some_found(3, 4)
    wanted = search_exact(EncodedContexts(vectors, found), CandidateMatrix(candidates), 6)
    monkeypatch.setattr(survivors, "SPAN", 1)
    monkeypatch.setattr(search, "ROWS", 4)
    for again in (CandidateMatrix(candidates), candidates):
        best = search_exact(EncodedContexts(vectors, found), again, 6, chunk=700)
        assert torch.equal(best.ids, wanted.ids) and torch.equal(best.scores, wanted.scores)


def test_few_pairs_survive_and_the_best_are_among_them() -> None:
    vectors, found, candidates = torch.randn(2, 4, 64), torch.ones(2, 4, dtype=torch.bool), torch.randn(20_000, 64)
    scores = exact(vectors, found, candidates)

    def known(rows: Tensor, ids: Tensor) -> Tensor:
        return poly_scores(vectors.double(), found, candidates[ids].double())[rows, torch.arange(len(ids))]

    shelf = CandidateMatrix(candidates)
    scored = (
        Int8Pass(EncodedContexts(vectors, found), shelf)
        if has_fast_int8()
        else Float32Pass(EncodedContexts(vectors, found), shelf)
    )
    pairs = survivors.survivors(scored, 10, exact=known, limit=2_500)
    assert pairs is not None and len(pairs.rows) < 1_000
    for row, ids in enumerate(sorted_all(scores, 10)):
        assert set(ids) <= set(pairs.ids[pairs.rows == row].tolist())
    assert survivors.survivors(scored, 10, exact=known, limit=19) is None
