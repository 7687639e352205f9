"""Contexts and all candidates in, approximate scores with a proven error out, by the quickest way there is."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from convmodel.models.selection.search.int8 import BLOCK, ROUNDING, QuantizedVectors, range_row, upper_bound
from convmodel.models.selection.search.vectors import CandidateMatrix

COARSE = 2.0**-7
"""What is lost of a product where torch was allowed less than float32 for it (`set_float32_matmul_precision`)."""


@dataclass(frozen=True, slots=True)
class SearchQueries:
    """What candidates are compared with, at least one vector for each context.

    Args:
        vectors, found: see `EncodedContexts`; float32 or float64.
    """

    vectors: Tensor
    found: Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def codes(self) -> int:
        """M."""
        return self.vectors.shape[1]

    def filled(self) -> Tensor:
        """(B * M, D), with the first vector that is there for each that is not: the largest product stays."""
        first = self.vectors[torch.arange(len(self)), self.found.int().argmax(1)][:, None]
        return torch.where(self.found[..., None], self.vectors, first).flatten(0, 1)


@dataclass(frozen=True, slots=True)
class BoundedScores:
    """Approximate scores of n candidates for B contexts.

    Args:
        start: the number of the first candidate.
        scores: (B, n), -inf for those that are not to be found.
        norms, residuals: (n,), see `QuantizedVectors`.
    """

    start: int
    scores: Tensor
    norms: Tensor
    residuals: Tensor


@dataclass(frozen=True)
class ScoreBounds:
    """One way to approximate scores.

    A score is at most the approximate one plus its error, which is `of_norm` * norm + `of_residual` * residual of the
    candidate.

    Args:
        queries: of B contexts.
        candidates: all that are scored.
    """

    queries: SearchQueries
    candidates: CandidateMatrix

    @property
    def of_norm(self) -> Tensor:
        """(B,)"""
        raise NotImplementedError

    @property
    def of_residual(self) -> Tensor:
        """(B,)"""
        raise NotImplementedError

    def __iter__(self) -> Iterator[BoundedScores]:
        raise NotImplementedError

    def _of_contexts(self, values: Tensor) -> Tensor:
        """The largest of (B * M,) values of each context."""
        return values.view(len(self.queries), self.queries.codes).amax(1)


class Int8Pass(ScoreBounds):
    """The largest of the products of rounded vectors.

    With y, c the vectors and y', c' the rounded ones: y c - y' c' = (y - y') c + y' (c - c'), and neither is more than
    the product of the norms. With S the exact products of M vectors: max S - ln M <= score <= max S, so that few
    candidates have a largest product that is above the k-th best score.
    """

    @cached_property
    def _rounded(self) -> QuantizedVectors:
        # One scale for all vectors of a context lets the largest product be found before they are scaled.
        return QuantizedVectors.of(self.queries.filled(), one_scale=self.queries.codes > 1)

    @property
    def of_norm(self) -> Tensor:
        rounded = self._rounded
        return self._of_contexts(rounded.residuals + 16 * ROUNDING * (rounded.norms + rounded.residuals))

    @property
    def of_residual(self) -> Tensor:
        return self._of_contexts(self._rounded.norms + self._rounded.residuals) * (1 + 16 * ROUNDING)

    def __iter__(self) -> Iterator[BoundedScores]:
        rounded, count = self._rounded, len(self.queries)
        rows = torch.cat([rounded.whole, range_row(rounded.whole.shape[1])])
        scales = rounded.scales.view(count, -1)[:, :1]
        for number, block in enumerate(self.candidates.quantised() or ()):
            products = block.products(rows)
            if self.queries.codes > 1:
                products = products.view(count, self.queries.codes, -1).amax(1)
            scores = self.candidates.without(number * BLOCK, products.mul_(scales))
            yield BoundedScores(number * BLOCK, scores, block.norms, block.residuals)


@dataclass(frozen=True)
class Float32Pass(ScoreBounds):
    """The scores as float32 has them.

    A sum of D products is off by at most D * 2^-24 of the product of the norms. In |s_m| <= z, products that are off by
    e change the score by at most e * sum_m p_m |1 + s_m - score| <= (1 + 2 ln M) e, as the score is nowhere more than
    ln M below the largest; and softmax itself, with M terms, adds at most 4 (M + 4) 2^-24 (1 + z).

    Args:
        block: candidates that are multiplied at once.
    """

    block: int = BLOCK

    @property
    def of_norm(self) -> Tensor:
        width, codes = self.queries.vectors.shape[2], self.queries.codes
        norms = self._of_contexts(upper_bound(torch.linalg.vector_norm(self.queries.filled(), dim=1), width))
        coarse = 0.0 if torch.get_float32_matmul_precision() == "highest" else COARSE
        lost = 1.02 * (width + 8) * ROUNDING + coarse
        if codes == 1:
            return lost * norms
        return (lost * (1 + 2 * math.log(codes)) + self._of_softmax) * norms

    @property
    def of_residual(self) -> Tensor:
        # Residuals are 1 here: what does not depend on a candidate's norm.
        constant = self._of_softmax if self.queries.codes > 1 else 0.0
        return self.queries.vectors.new_full((len(self.queries),), constant)

    @property
    def _of_softmax(self) -> float:
        return 4 * (self.queries.codes + 4) * ROUNDING

    def __iter__(self) -> Iterator[BoundedScores]:
        queries = self.queries
        rows = queries.filled()
        missing = None if queries.found.all() else ~queries.found[..., None]
        for start in range(0, len(self.candidates), self.block):
            block = self.candidates.block(start, self.block, rows)
            products = (rows @ block.T).view(len(queries), queries.codes, -1)
            norms = self.candidates.norms()[start : start + len(block)].to(rows.device)
            scores = self.candidates.without(start, softmax_sum(products, missing))
            yield BoundedScores(start, scores, norms, torch.ones_like(norms))


def softmax_sum(products: Tensor, missing: Tensor | None) -> Tensor:
    """(B, M, n) products, and (B, M, 1) which of them do not count, in; (B, n) scores out."""
    if products.shape[1] == 1:
        return products[:, 0]
    peaks = products.amax(1, keepdim=True)
    # Below e^-80 nothing is left of a sum, and numbers come that processors are slow at.
    weights = (products - peaks).clamp_(min=-80).exp_()
    if missing is not None:
        weights.masked_fill_(missing, 0)
    return products.mul_(weights).sum(1).div_(weights.sum(1))
