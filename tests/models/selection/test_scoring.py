"""The heads of bi- and poly-encoder, against loops over single numbers."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from convmodel.models.selection.scoring import PolyContext, attend, bi_scores, poly_scores, pool


def ragged(rows: int, longest: int, width: int, *, side: str = "right") -> tuple[Tensor, Tensor, list[Tensor]]:
    """States whose padding is garbage, their mask, and the states without padding."""
    hidden = torch.randn(rows, longest, width)
    mask = torch.zeros(rows, longest, dtype=torch.long)
    kept = []
    for row in range(rows):
        length = 1 + row % longest
        part = slice(0, length) if side == "right" else slice(longest - length, longest)
        mask[row, part] = 1
        kept.append(hidden[row, part].clone())
        hidden[row, mask[row] == 0] = 1e6
    return hidden, mask, kept


def plain_score(vectors: list[Tensor], candidate: Tensor) -> float:
    """The paper's formula, one number after the other."""
    products = [sum(float(a) * float(b) for a, b in zip(v, candidate, strict=True)) for v in vectors]
    top = max(products)
    weights = [math.exp(p - top) for p in products]
    total = sum(weights)
    attended = [
        sum(w / total * float(v[d]) for w, v in zip(weights, vectors, strict=True)) for d in range(len(candidate))
    ]
    return sum(a * float(b) for a, b in zip(attended, candidate, strict=True))


@pytest.mark.parametrize("side", ["left", "right"])
def test_pooling_is_that_of_each_text_alone_whatever_stands_in_the_padding(side: str) -> None:
    hidden, mask, kept = ragged(7, 5, 3, side=side)
    expected: dict[Any, Tensor] = {
        "first": torch.stack([states[0] for states in kept]),
        "last": torch.stack([states[-1] for states in kept]),
        "mean": torch.stack([states.mean(0) for states in kept]),
    }
    for how, vectors in expected.items():
        torch.testing.assert_close(pool(hidden, mask, how), vectors)
    with pytest.raises(ValueError, match="pooling='max'; allowed are first, mean, last"):
        pool(hidden, mask, "max")  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["left", "right"])
def test_codes_attend_to_every_token_and_never_to_padding(side: str) -> None:
    hidden, mask, kept = ragged(7, 5, 4, side=side)
    context = PolyContext(4, 3)
    vectors, found = context(hidden, mask)
    assert found.all() and context.codes is not None
    for row, states in enumerate(kept):
        for code, vector in zip(context.codes, vectors[row], strict=True):
            weights = (states @ code).softmax(0)
            torch.testing.assert_close(vector, (weights[:, None] * states).sum(0))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["first", "last"])
def test_first_and_last_vectors_are_the_tokens_themselves_and_fewer_where_the_context_is_short(
    side: str, kind: Any
) -> None:
    hidden, mask, kept = ragged(7, 5, 4, side=side)
    vectors, found = PolyContext(4, 3, kind)(hidden, mask)
    for row, states in enumerate(kept):
        expected = states[:3] if kind == "first" else states[-3:]
        torch.testing.assert_close(vectors[row][found[row]], expected)
        assert found[row].sum() == min(3, len(states))


def test_codes_begin_around_nothing_with_the_papers_spread() -> None:
    parameter = PolyContext(256, 360).codes
    assert parameter is not None
    codes = parameter.detach()
    assert abs(float(codes.mean())) < 0.002 and float(codes.std()) == pytest.approx(256**-0.5, rel=0.02)


def test_a_score_is_the_papers_formula_for_shared_candidates_and_for_those_of_each_context() -> None:
    hidden, mask, _ = ragged(5, 6, 4)
    for kind in ("learnt", "first", "last"):
        vectors, found = PolyContext(4, 3, kind)(hidden, mask)
        shared, own = torch.randn(6, 4), torch.randn(5, 2, 4)
        for row in range(5):
            there = [vector.detach() for vector, is_there in zip(vectors[row], found[row], strict=True) if is_there]
            expected = torch.tensor([plain_score(there, candidate) for candidate in shared])
            torch.testing.assert_close(
                poly_scores(vectors, found, shared)[row].detach(), expected, atol=1e-4, rtol=1e-4
            )
            expected = torch.tensor([plain_score(there, candidate) for candidate in own[row]])
            torch.testing.assert_close(poly_scores(vectors, found, own)[row].detach(), expected, atol=1e-4, rtol=1e-4)


def test_a_poly_encoder_of_one_vector_is_a_bi_encoder() -> None:
    contexts, candidates = torch.randn(4, 8), torch.randn(5, 8)
    found = torch.ones(4, 1, dtype=torch.bool)
    torch.testing.assert_close(poly_scores(contexts[:, None], found, candidates), bi_scores(contexts, candidates))
    each = torch.randn(4, 3, 8)
    expected = torch.stack([each[row] @ contexts[row] for row in range(4)])
    torch.testing.assert_close(bi_scores(contexts, each), expected)


def test_padding_gets_no_gradient() -> None:
    hidden, mask, _ = ragged(5, 6, 4)
    hidden.requires_grad_()
    vectors, found = PolyContext(4, 3)(hidden, mask)
    poly_scores(vectors, found, torch.randn(6, 4)).sum().backward()
    assert hidden.grad is not None
    assert not hidden.grad[mask == 0].any() and hidden.grad[mask == 1].isfinite().all()


def test_the_score_lies_between_its_largest_product_and_the_logarithm_of_their_number_below() -> None:
    vectors, candidates = torch.randn(6, 16, 8), torch.randn(50, 8)
    scores = poly_scores(vectors, torch.ones(6, 16, dtype=torch.bool), candidates)
    largest = (vectors @ candidates.T).amax(1)
    assert (scores <= largest + 1e-5).all() and (scores >= largest - math.log(16) - 1e-5).all()


def test_attention_of_queries_of_each_row_is_that_of_shared_ones() -> None:
    queries, values, mask = torch.randn(3, 4), torch.randn(2, 5, 4), torch.ones(2, 5)
    torch.testing.assert_close(attend(queries, values, mask), attend(queries.expand(2, 3, 4), values, mask))


@pytest.mark.parametrize(("number", "kind"), [(0, "learnt"), (4, "middle")])
def test_what_cannot_be_is_refused(number: int, kind: Any) -> None:
    with pytest.raises(ValueError, match="allowed are at least 1, and learnt, first, last"):
        PolyContext(8, number, kind)
