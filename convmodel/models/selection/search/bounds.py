"""Approximate scores of all candidates with a proven error bound, in int8 or float32.

Scores whose upper bound is below a context's k-th best exact score need not be computed exactly (see `pruning`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from convmodel.models.selection.search.int8 import BLOCK, ROUNDING, QuantizedVectors, range_row, upper_bound
from convmodel.models.selection.search.vectors import CandidateMatrix

COARSE = 2.0**-7
"""Relative error of a product where torch may use less than float32 for it (`set_float32_matmul_precision`)."""


@dataclass(frozen=True, slots=True)
class SearchQueries:
    """Context vectors that candidates are compared with, at least one for each context.

    Args:
        vectors: (B, M, D) float32 or float64, see `EncodedContexts`.
        mask: (B, M), true for valid vectors.
    """

    vectors: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def codes(self) -> int:
        """M, the number of vectors per context."""
        return self.vectors.shape[1]

    def filled(self) -> Tensor:
        """Return (B * M, D) vectors with each masked one replaced by its context's first valid one.

        The largest product of a context with a candidate does not change.
        """
        first = self.vectors[torch.arange(len(self)), self.mask.int().argmax(1)][:, None]
        return torch.where(self.mask[..., None], self.vectors, first).flatten(0, 1)


@dataclass(frozen=True, slots=True)
class BoundedScores:
    """Approximate scores of n candidates for B contexts.

    Args:
        start: the index of the first candidate.
        scores: (B, n), -inf for removed candidates.
        norms, residuals: (n,), see `QuantizedVectors`.
    """

    start: int
    scores: Tensor
    norms: Tensor
    residuals: Tensor


@dataclass(frozen=True)
class ScoreBounds(ABC):
    """One method of approximating scores; iterating over it yields blocks of candidates.

    An exact score is at most the approximate score plus its error bound, which is
    `of_norm` * norm + `of_residual` * residual of the candidate.

    Args:
        queries: the vectors of B contexts.
        candidates: all candidates.
    """

    queries: SearchQueries
    candidates: CandidateMatrix

    @property
    @abstractmethod
    def of_norm(self) -> Tensor:
        """(B,) factors of the candidates' norms in the error bound."""

    @property
    @abstractmethod
    def of_residual(self) -> Tensor:
        """(B,) factors of the candidates' residuals in the error bound."""

    @abstractmethod
    def __iter__(self) -> Iterator[BoundedScores]: ...

    def _of_contexts(self, values: Tensor) -> Tensor:
        """Return the largest of each context's M values: (B * M,) to (B,)."""
        return values.view(len(self.queries), self.queries.codes).amax(1)


class Int8Pass(ScoreBounds):
    """Approximate scores as the largest product of vectors rounded to int8.

    With y, c the vectors and y', c' the rounded ones: y c - y' c' = (y - y') c + y' (c - c'), and each term is at most
    the product of its norms. With S the exact products of M vectors: max S - ln M <= score <= max S, so that few
    candidates have a largest product above the k-th best score.
    """

    @cached_property
    def _rounded(self) -> QuantizedVectors:
        # With one scale for all vectors of a context, the largest product can be taken before scaling.
        return QuantizedVectors.of(self.queries.filled(), one_scale=self.queries.codes > 1)

    @property
    def of_norm(self) -> Tensor:
        rounded = self._rounded
        return self._of_contexts(rounded.residuals + 16 * ROUNDING * (rounded.norms + rounded.residuals))

    @property
    def of_residual(self) -> Tensor:
        return self._of_contexts(self._rounded.norms + self._rounded.residuals) * (1 + 16 * ROUNDING)

    def __iter__(self) -> Iterator[BoundedScores]:
        rounded = self._rounded
        count = len(self.queries)
        rows = torch.cat([rounded.whole, range_row(rounded.whole.shape[1])])
        scales = rounded.scales.view(count, -1)[:, :1]
        for index, block in enumerate(self.candidates.quantised() or ()):
            products = block.products(rows)
            if self.queries.codes > 1:
                products = products.view(count, self.queries.codes, -1).amax(1)
            scores = self.candidates.mask_removed(index * BLOCK, products.mul_(scales))
            yield BoundedScores(index * BLOCK, scores, block.norms, block.residuals)


@dataclass(frozen=True)
class Float32Pass(ScoreBounds):
    """Approximate scores computed in float32.

    A sum of D products is off by at most D * 2^-24 of the product of the norms. For |s_m| <= z, products that are off
    by e change the score by at most e * sum_m p_m |1 + s_m - score| <= (1 + 2 ln M) e, because the score is at most
    ln M below the largest s_m; the softmax itself, with M terms, adds at most 4 (M + 4) 2^-24 (1 + z).

    Args:
        block: number of candidates that are multiplied at once.
    """

    block: int = BLOCK

    @property
    def of_norm(self) -> Tensor:
        width = self.queries.vectors.shape[2]
        codes = self.queries.codes
        norms = self._of_contexts(upper_bound(torch.linalg.vector_norm(self.queries.filled(), dim=1), width))
        coarse = 0.0 if torch.get_float32_matmul_precision() == "highest" else COARSE
        lost = 1.02 * (width + 8) * ROUNDING + coarse
        if codes == 1:
            return lost * norms
        return (lost * (1 + 2 * math.log(codes)) + self._of_softmax) * norms

    @property
    def of_residual(self) -> Tensor:
        # Residuals are 1 here: this part of the error does not depend on a candidate's norm.
        constant = self._of_softmax if self.queries.codes > 1 else 0.0
        return self.queries.vectors.new_full((len(self.queries),), constant)

    @property
    def _of_softmax(self) -> float:
        return 4 * (self.queries.codes + 4) * ROUNDING

    def __iter__(self) -> Iterator[BoundedScores]:
        queries = self.queries
        rows = queries.filled()
        missing = None if queries.mask.all() else ~queries.mask[..., None]
        for start in range(0, len(self.candidates), self.block):
            block = self.candidates.block(start, self.block, rows)
            products = (rows @ block.T).view(len(queries), queries.codes, -1)
            norms = self.candidates.norms()[start : start + len(block)].to(rows.device)
            scores = self.candidates.mask_removed(start, softmax_sum(products, missing))
            yield BoundedScores(start, scores, norms, torch.ones_like(norms))


def softmax_sum(products: Tensor, missing: Tensor | None) -> Tensor:
    """Return the (B, n) poly-encoder scores sum_m softmax(s)_m s_m; changes `products` in place.

    Args:
        products: (B, M, n) products s_m of context vectors and candidates.
        missing: (B, M, 1), true for context vectors that do not count; None when all of them count.
    """
    if products.shape[1] == 1:
        return products[:, 0]
    peaks = products.amax(1, keepdim=True)
    # Terms below e^-80 do not change a float32 sum, and smaller ones become denormal, which processors compute slowly.
    weights = (products - peaks).clamp_(min=-80).exp_()
    if missing is not None:
        weights.masked_fill_(missing, 0)
    return products.mul_(weights).sum(1).div_(weights.sum(1))
