"""The heads of bi- and poly-encoders, against loops over single values."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from convmodel.models.selection.scoring import PolyContext, attend, bi_scores, poly_scores, pool


def ragged(rows: int, longest: int, width: int, *, side: str = "right") -> tuple[Tensor, Tensor, list[Tensor]]:
    """States with large values as padding, their mask, and the states without padding."""
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
    """The paper's formula in loops over single values."""
    products = [sum(float(a) * float(b) for a, b in zip(v, candidate, strict=True)) for v in vectors]
    top = max(products)
    weights = [math.exp(p - top) for p in products]
    total = sum(weights)
    attended = [
        sum(w / total * float(v[d]) for w, v in zip(weights, vectors, strict=True)) for d in range(len(candidate))
    ]
    return sum(a * float(b) for a, b in zip(attended, candidate, strict=True))


@pytest.mark.parametrize("side", ["left", "right"])
def test_pooling_ignores_padding(side: str) -> None:
    hidden, mask, kept = ragged(7, 5, 3, side=side)
    expected: dict[Any, Tensor] = {
        "first": torch.stack([states[0] for states in kept]),
        "last": torch.stack([states[-1] for states in kept]),
        "mean": torch.stack([states.mean(0) for states in kept]),
        "max": torch.stack([states.amax(0) for states in kept]),
    }
    for how, vectors in expected.items():
        torch.testing.assert_close(pool(hidden, mask, how), vectors)
    with pytest.raises(ValueError, match="pooling='sum'; allowed are first, mean, last, max"):
        pool(hidden, mask, "sum")  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["left", "right"])
def test_codes_attend_to_all_tokens_and_not_to_padding(side: str) -> None:
    hidden, mask, kept = ragged(7, 5, 4, side=side)
    context = PolyContext(4, 3)
    vectors, valid = context(hidden, mask)
    assert valid.all() and context.codes is not None
    for row, states in enumerate(kept):
        for code, vector in zip(context.codes, vectors[row], strict=True):
            weights = (states @ code).softmax(0)
            torch.testing.assert_close(vector, (weights[:, None] * states).sum(0))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["first", "last"])
def test_first_and_last_vectors_are_hidden_states_and_fewer_for_short_contexts(side: str, kind: Any) -> None:
    hidden, mask, kept = ragged(7, 5, 4, side=side)
    vectors, valid = PolyContext(4, 3, kind)(hidden, mask)
    for row, states in enumerate(kept):
        expected = states[:3] if kind == "first" else states[-3:]
        torch.testing.assert_close(vectors[row][valid[row]], expected)
        assert valid[row].sum() == min(3, len(states))


def test_initial_codes_have_mean_0_and_the_papers_standard_deviation() -> None:
    parameter = PolyContext(256, 360).codes
    assert parameter is not None
    codes = parameter.detach()
    assert abs(float(codes.mean())) < 0.002 and float(codes.std()) == pytest.approx(256**-0.5, rel=0.02)


def test_scores_follow_the_papers_formula_for_shared_and_separate_candidates() -> None:
    hidden, mask, _ = ragged(5, 6, 4)
    for kind in ("learnt", "first", "last"):
        vectors, valid = PolyContext(4, 3, kind)(hidden, mask)
        shared = torch.randn(6, 4)
        separate = torch.randn(5, 2, 4)
        for row in range(5):
            valid_vectors = [
                vector.detach() for vector, is_valid in zip(vectors[row], valid[row], strict=True) if is_valid
            ]
            expected = torch.tensor([plain_score(valid_vectors, candidate) for candidate in shared])
            torch.testing.assert_close(
                poly_scores(vectors, valid, shared)[row].detach(), expected, atol=1e-4, rtol=1e-4
            )
            expected = torch.tensor([plain_score(valid_vectors, candidate) for candidate in separate[row]])
            torch.testing.assert_close(
                poly_scores(vectors, valid, separate)[row].detach(), expected, atol=1e-4, rtol=1e-4
            )


def test_poly_scores_of_one_vector_are_bi_scores() -> None:
    contexts = torch.randn(4, 8)
    candidates = torch.randn(5, 8)
    valid = torch.ones(4, 1, dtype=torch.bool)
    torch.testing.assert_close(poly_scores(contexts[:, None], valid, candidates), bi_scores(contexts, candidates))
    separate = torch.randn(4, 3, 8)
    expected = torch.stack([separate[row] @ contexts[row] for row in range(4)])
    torch.testing.assert_close(bi_scores(contexts, separate), expected)


def test_padding_gets_no_gradient() -> None:
    hidden, mask, _ = ragged(5, 6, 4)
    hidden.requires_grad_()
    vectors, valid = PolyContext(4, 3)(hidden, mask)
    poly_scores(vectors, valid, torch.randn(6, 4)).sum().backward()
    assert hidden.grad is not None
    assert not hidden.grad[mask == 0].any() and hidden.grad[mask == 1].isfinite().all()


def test_poly_scores_are_at_most_ln_m_below_the_largest_product() -> None:
    vectors = torch.randn(6, 16, 8)
    candidates = torch.randn(50, 8)
    scores = poly_scores(vectors, torch.ones(6, 16, dtype=torch.bool), candidates)
    largest = (vectors @ candidates.T).amax(1)
    assert (scores <= largest + 1e-5).all() and (scores >= largest - math.log(16) - 1e-5).all()


def test_separate_and_shared_queries_attend_the_same() -> None:
    queries = torch.randn(3, 4)
    values = torch.randn(2, 5, 4)
    mask = torch.ones(2, 5)
    torch.testing.assert_close(attend(queries, values, mask), attend(queries.expand(2, 3, 4), values, mask))


@pytest.mark.parametrize(("num_codes", "kind"), [(0, "learnt"), (4, "middle")])
def test_unknown_kinds_and_no_codes_are_refused(num_codes: int, kind: Any) -> None:
    with pytest.raises(ValueError, match="allowed are at least 1, and learnt, first, last"):
        PolyContext(8, num_codes, kind)
