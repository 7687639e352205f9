"""Search by sums of terms and given values, against scoring and sorting all candidates in float64."""

import random

import pytest
import torch
from torch import Tensor

from convmodel.models.selection.search.bounds import Float32Pass, Int8Pass, ScoreBounds
from convmodel.models.selection.search.exact import search_exact
from convmodel.models.selection.search.int8 import has_fast_int8
from convmodel.models.selection.search.query import Query, Term
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts
from tests.models.selection.search.oracle import check, exact

pytestmark = pytest.mark.machine


def oracle(query: Query, candidates: Tensor) -> Tensor:
    """The sum of the terms and given values, in float64."""
    total = torch.zeros(len(query), len(candidates), dtype=torch.double)
    for term in query.terms:
        vectors, mask = term.contexts.vectors, term.contexts.mask
        if term.attends:
            values = exact(vectors, mask, candidates)
        else:
            products = vectors.double() @ candidates.double().T
            values = products.masked_fill(~mask[..., None], -torch.inf).amax(1)
        total += term.weight * values
    return total if query.offsets is None else total + query.offsets


def random_query(source: random.Random, candidates: int, width: int, *, whole: bool) -> Query:
    """A query of up to three terms, with whole numbers where sums are to be exact."""
    contexts = source.randint(1, 3)
    terms = []
    for _ in range(source.randint(0, 3)):
        codes = source.choice([1, 1, 2, 5])
        vectors = torch.randn(contexts, codes, width) * source.choice([0.01, 1, 5])
        mask = torch.rand(contexts, codes) < 0.7
        mask[:, source.randrange(codes)] = True
        attends = (codes == 1 or not whole) and source.random() < 0.5
        weight = float(source.choice([-2, -1, 1, 3])) if whole else source.uniform(-2, 2)
        terms.append(Term(EncodedContexts(vectors.round() if whole else vectors, mask), weight, attends))
    offsets = torch.randn(contexts, candidates, dtype=torch.double) * source.choice([0, 0.5, 100])
    return Query(terms, offsets.round() if whole else offsets)


@pytest.mark.parametrize("quantise", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_search_equals_sorting_all_scores_in_hundreds_of_small_indexes(quantise: bool, seed: int) -> None:
    source = random.Random(seed)
    torch.manual_seed(seed)
    for _ in range(250):
        count, width = source.choice([1, 3, 40, 150, 400]), source.choice([2, 3, 16])
        whole = source.random() < 0.5  # equal scores are frequent, and equal to the bit
        candidates = torch.randn(count, width)
        candidates = candidates.round() if whole else candidates
        candidates[count // 2 :] = candidates[: count - count // 2].clone()
        removed = torch.rand(count) < 0.2
        removed[source.randrange(count)] = False
        query = random_query(source, count, width, whole=whole)
        k = source.choice([1, 2, 5, 50])
        best = search_exact(query, CandidateMatrix(candidates, removed=removed, quantise=quantise), k)
        check(best, oracle(query, candidates).masked_fill(removed, -torch.inf), min(k, int((~removed).sum())))


@pytest.mark.parametrize("quantise", [True, False])
def test_of_equal_sums_the_smaller_number_comes_first(quantise: bool) -> None:
    candidates = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(3_000, 1)
    query = Query([Term(EncodedContexts(torch.tensor([[[3.0, 1.0]]]), torch.ones(1, 1, dtype=torch.bool)), 0.5)])
    offsets = torch.tensor([[0.0, 1.0]], dtype=torch.double).repeat(1, 3_000)  # makes up for the difference
    best = search_exact(Query(query.terms, offsets), CandidateMatrix(candidates, quantise=quantise), 7)
    assert best.ids.tolist() == [[*range(7)]] and best.scores.tolist() == [[1.5] * 7]
    offsets[0, 4_001] += 2.0**-20
    best = search_exact(Query(query.terms, offsets), CandidateMatrix(candidates, quantise=quantise), 2)
    assert best.ids.tolist() == [[4_001, 0]]


@pytest.mark.parametrize("quantise", [True, False])
def test_values_of_words_far_above_all_products_hide_no_candidate(quantise: bool) -> None:
    torch.manual_seed(0)
    candidates = torch.randn(6_000, 10)
    mask = torch.ones(2, 1, dtype=torch.bool)
    offsets = torch.zeros(2, 6_000, dtype=torch.double)
    offsets[:, ::37] = 1e6
    query = Query([Term(EncodedContexts(torch.randn(2, 1, 10), mask), 1e-3)], offsets)
    check(search_exact(query, CandidateMatrix(candidates, quantise=quantise), 20), oracle(query, candidates), 20)


@pytest.mark.parametrize(
    "make",
    [Float32Pass, pytest.param(Int8Pass, marks=pytest.mark.skipif(not has_fast_int8(), reason="no 8-bit products"))],
)
def test_no_sum_exceeds_its_bound(make: type[ScoreBounds]) -> None:
    torch.manual_seed(0)
    for seed in range(30):
        source = random.Random(seed)
        candidates = torch.randn(300, 16) * torch.logspace(-4, 4, 300)[:, None]
        query = random_query(source, 300, 16, whole=False)
        if query.terms:
            scored = make(query, CandidateMatrix(candidates))
            [block] = scored
            error = scored.of_norm[:, None] * block.norms + scored.of_residual[:, None] * block.residuals
            assert (oracle(query, candidates) <= (block.scores + error).double()).all()


def test_given_values_alone_are_scores() -> None:
    offsets = torch.tensor([[0.5, 2.0, 2.0, -1.0]], dtype=torch.double)
    best = search_exact(Query([], offsets), CandidateMatrix(torch.empty(4, 0)), 3)
    assert best.ids.tolist() == [[1, 2, 0]] and best.scores.tolist() == [[2.0, 2.0, 0.5]]
