"""Approximate scores of all candidates with a proven error bound, in int8 or float32.

A score whose upper bound is below a context's k-th best exact score need not be computed exactly (see `pruning`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convmodel.models.selection.search.int8 import BLOCK, ROUNDING, QuantizedVectors, range_row, upper_bound
from convmodel.models.selection.search.query import Query, Term, add_up
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts

COARSE = 2.0**-7
"""Relative error of a product if torch may compute it with less than float32's precision.

See `torch.set_float32_matmul_precision`.
"""


@dataclass(frozen=True, slots=True)
class BoundedScores:
    """Approximate scores of a block of n candidates.

    Args:
        start: index of the first candidate.
        scores: (B, n) approximate scores; -inf for removed candidates.
        norms: (n,) upper bounds of the candidates' Euclidean norms.
        residuals: (n,) upper bounds of the norms of the candidates' rounding errors, or 1; see `ScoreBounds`.
    """

    start: int
    scores: Tensor
    norms: Tensor
    residuals: Tensor


class ScoreBounds(ABC):
    """Base class of methods that approximate scores; iterating over an instance yields blocks of candidates.

    An exact score is at most the approximate score plus the error bound `of_norm` * norm + `of_residual` * residual.
    The (B,) factors `of_norm` and `of_residual` belong to the contexts, norm and residual to the candidate. The error
    bound of a sum is the sum of its terms' error bounds, each times the absolute weight. The rounding error of the
    offsets is added to the approximate scores; that of the sum is part of the factors.

    Args:
        contexts: the contexts, or a query of several terms and offsets.
        candidates: the candidates to score.
    """

    of_norm: Tensor
    of_residual: Tensor

    def __init__(self, contexts: EncodedContexts | Query, candidates: CandidateMatrix) -> None:
        self.query = Query.of(contexts)
        self.candidates = candidates
        self._added = 0.0 if self.query.is_plain else 4 * (len(self.query.terms) + 2) * ROUNDING
        self._offsets = None if self.query.offsets is None else self._raised(self.query.offsets)

    @abstractmethod
    def __iter__(self) -> Iterator[BoundedScores]: ...

    def _raised(self, offsets: Tensor) -> Tensor:
        """Return the (B, N) offsets in float32, increased by a bound of the rounding error that they cause."""
        raised = offsets.float()
        return raised.add_(self._added * raised.abs().amax(1, keepdim=True))

    def _offsets_of(self, start: int, count: int, like: Tensor) -> Tensor | None:
        return None if self._offsets is None else self._offsets[:, start : start + count].to(like.device)

    def _sum_of_contexts(self, values: Sequence[Tensor]) -> Tensor:
        """Return the (B,) sums, over all terms, of the absolute weight times the largest of a context's M values.

        Args:
            values: for each term, the (B * M,) values of its vectors.
        """
        largest = (
            abs(term.weight) * of_term.view(len(self.query), term.codes).amax(1)
            for term, of_term in zip(self.query.terms, values, strict=True)
        )
        return torch.stack(list(largest)).sum(0)


class Int8Pass(ScoreBounds):
    """Approximate scores from the largest products of vectors rounded to int8.

    Let y be a context vector, c a candidate, and y', c' the rounded vectors. Then
    y c - y' c' = (y - y') c + y' (c - c'), and each of the two terms is at most the product of its vectors' norms.

    Let S be the exact products of a candidate with the M vectors of a context. The poly-encoder's score lies between
    max S - ln M and max S. With a positive weight, max S is its upper bound, which is close enough that it exceeds the
    k-th best score for few candidates. With a negative weight, max S - ln M is used instead.
    """

    def __init__(self, contexts: EncodedContexts | Query, candidates: CandidateMatrix) -> None:
        super().__init__(contexts, candidates)
        # If all vectors of a term have one scale, the largest product can be chosen before scaling.
        self._rounded = rounded = [
            QuantizedVectors.of(term.contexts.filled(), one_scale=term.codes > 1) for term in self.query.terms
        ]
        sizes = [of_term.norms + of_term.residuals for of_term in rounded]
        lost = [of_term.residuals + 16 * ROUNDING * size for of_term, size in zip(rounded, sizes, strict=True)]
        total = self._sum_of_contexts(sizes)
        self.of_norm = self._sum_of_contexts(lost) + self._added * total
        # The rounding error of the sum is relative to the rounded candidate, whose norm is at most norm + residual.
        self.of_residual = total * (1 + 16 * ROUNDING + self._added)
        self._rows = torch.cat([*(of_term.whole for of_term in rounded), range_row(rounded[0].whole.shape[1])])

    def __iter__(self) -> Iterator[BoundedScores]:
        for index, block in enumerate(self.candidates.quantised() or ()):
            start = index * BLOCK
            products = block.products(self._rows)
            total = self._offsets_of(start, products.shape[1], products)
            for (term, part), rounded in zip(self.query.split(products), self._rounded, strict=True):
                values = self._upper(term, part, rounded.scales.view(len(self.query), -1)[:, :1])
                total = values if total is None else total + values
            assert total is not None, "there are products only with terms"
            yield BoundedScores(start, self.candidates.mask_removed(start, total), block.norms, block.residuals)

    def _upper(self, term: Term, products: Tensor, scales: Tensor) -> Tensor:
        """Return the (B, n) weighted values of a term, or their upper bounds if the term has a softmax."""
        largest = products.amax(1) if term.codes > 1 else products[:, 0]
        values = largest.mul_(scales * term.weight)
        if term.has_softmax and term.weight < 0:
            values -= term.weight * math.log(term.codes) * (1 + self._added)
        return values


class Float32Pass(ScoreBounds):
    """Approximate scores computed in float32, `block` candidates at once.

    The rounding error of a sum of D products is at most D * 2^-24 times the product of the vectors' norms.

    A poly-encoder's score is sum_m p_m s_m with p = softmax(s). If every s_m has an error of at most e, the score
    changes by at most e * sum_m p_m |1 + s_m - score| <= (1 + 2 ln M) e, because the score is at most ln M below the
    largest s_m. If |s_m| <= z for all m, computing the softmax of M products adds an error of at most
    4 (M + 4) 2^-24 (1 + z).
    """

    def __init__(self, contexts: EncodedContexts | Query, candidates: CandidateMatrix, block: int = BLOCK) -> None:
        super().__init__(contexts, candidates)
        self._block = block
        self._rows = self.query.rows()
        width = self._rows.shape[1]
        coarse = 0.0 if torch.get_float32_matmul_precision() == "highest" else COARSE
        of_norm = []
        of_residual = []
        for term in self.query.terms:
            norms = upper_bound(torch.linalg.vector_norm(term.contexts.filled(), dim=1), width)
            lost = 1.02 * (width + 8) * ROUNDING + coarse
            of_softmax = 0.0
            if term.has_softmax:
                of_softmax = 4 * (term.codes + 4) * ROUNDING
                lost = lost * (1 + 2 * math.log(term.codes)) + of_softmax
            of_norm.append((lost + self._added) * norms)
            of_residual.append(torch.full_like(norms, of_softmax))
        self.of_norm = self._sum_of_contexts(of_norm)
        # Residuals are 1 here: this part of the error does not depend on a candidate's norm.
        self.of_residual = self._sum_of_contexts(of_residual)

    def __iter__(self) -> Iterator[BoundedScores]:
        for start in range(0, len(self.candidates), self._block):
            block = self.candidates.block(start, self._block, self._rows)
            products = self._rows @ block.T
            norms = self.candidates.norms()[start : start + len(block)].to(block.device)
            total = add_up(self.query, products, self._offsets_of(start, len(block), products))
            scores = self.candidates.mask_removed(start, total)
            yield BoundedScores(start, scores, norms, torch.ones_like(norms))
