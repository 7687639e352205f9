"""Approximate scores of all candidates with a proven error bound, in int8 or float32.

Scores whose upper bound is below a context's k-th best exact score need not be computed exactly (see `pruning`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convmodel.models.selection.search.int8 import BLOCK, ROUNDING, QuantizedVectors, range_row, upper_bound
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts

COARSE = 2.0**-7
"""Relative error of a product where torch may use less than float32 for it (`set_float32_matmul_precision`)."""


@dataclass(frozen=True, slots=True)
class BoundedScores:
    """Approximate (B, n) scores of n candidates from index `start` on, -inf for removed ones.

    Their (n,) norms and residuals are those of `QuantizedVectors`.
    """

    start: int
    scores: Tensor
    norms: Tensor
    residuals: Tensor


class ScoreBounds(ABC):
    """One method of approximating scores; iterating over it yields blocks of candidates.

    An exact score is at most the approximate score plus its error bound, which is
    `of_norm` * norm + `of_residual` * residual of the candidate, with (B,) factors of the contexts.
    """

    of_norm: Tensor
    of_residual: Tensor

    def __init__(self, contexts: EncodedContexts, candidates: CandidateMatrix) -> None:
        self.contexts = contexts
        self.candidates = candidates
        self.codes = contexts.vectors.shape[1]

    @abstractmethod
    def __iter__(self) -> Iterator[BoundedScores]: ...

    def _of_contexts(self, values: Tensor) -> Tensor:
        """Return the largest of each context's M values: (B * M,) to (B,)."""
        return values.view(len(self.contexts), self.codes).amax(1)


class Int8Pass(ScoreBounds):
    """Approximate scores as the largest product of vectors rounded to int8.

    With y, c the vectors and y', c' the rounded ones: y c - y' c' = (y - y') c + y' (c - c'), and each term is at most
    the product of its norms. With S the exact products of M vectors: max S - ln M <= score <= max S, so that few
    candidates have a largest product above the k-th best score.
    """

    def __init__(self, contexts: EncodedContexts, candidates: CandidateMatrix) -> None:
        super().__init__(contexts, candidates)
        # With one scale for all vectors of a context, the largest product can be taken before scaling.
        self._rounded = rounded = QuantizedVectors.of(contexts.filled(), one_scale=self.codes > 1)
        self.of_norm = self._of_contexts(rounded.residuals + 16 * ROUNDING * (rounded.norms + rounded.residuals))
        self.of_residual = self._of_contexts(rounded.norms + rounded.residuals) * (1 + 16 * ROUNDING)

    def __iter__(self) -> Iterator[BoundedScores]:
        whole = self._rounded.whole
        count = len(self.contexts)
        rows = torch.cat([whole, range_row(whole.shape[1])])
        scales = self._rounded.scales.view(count, -1)[:, :1]
        for index, block in enumerate(self.candidates.quantised() or ()):
            products = block.products(rows)
            if self.codes > 1:
                products = products.view(count, self.codes, -1).amax(1)
            scores = self.candidates.mask_removed(index * BLOCK, products.mul_(scales))
            yield BoundedScores(index * BLOCK, scores, block.norms, block.residuals)


class Float32Pass(ScoreBounds):
    """Approximate scores computed in float32, `block` candidates at once.

    A sum of D products is off by at most D * 2^-24 of the product of the norms. For |s_m| <= z, products that are off
    by e change the score by at most e * sum_m p_m |1 + s_m - score| <= (1 + 2 ln M) e, because the score is at most
    ln M below the largest s_m; the softmax itself, with M terms, adds at most 4 (M + 4) 2^-24 (1 + z).
    """

    def __init__(self, contexts: EncodedContexts, candidates: CandidateMatrix, block: int = BLOCK) -> None:
        super().__init__(contexts, candidates)
        self._block = block
        self._rows = contexts.filled()
        width = self._rows.shape[1]
        norms = self._of_contexts(upper_bound(torch.linalg.vector_norm(self._rows, dim=1), width))
        coarse = 0.0 if torch.get_float32_matmul_precision() == "highest" else COARSE
        lost = 1.02 * (width + 8) * ROUNDING + coarse
        of_softmax = 0.0
        if self.codes > 1:
            of_softmax = 4 * (self.codes + 4) * ROUNDING
            lost = lost * (1 + 2 * math.log(self.codes)) + of_softmax
        self.of_norm = lost * norms
        # Residuals are 1 here: this part of the error does not depend on a candidate's norm.
        self.of_residual = contexts.vectors.new_full((len(contexts),), of_softmax)

    def __iter__(self) -> Iterator[BoundedScores]:
        mask = self.contexts.mask
        missing = None if mask.all() else ~mask[..., None]
        for start in range(0, len(self.candidates), self._block):
            block = self.candidates.block(start, self._block, self._rows)
            products = (self._rows @ block.T).view(*mask.shape, -1)
            norms = self.candidates.norms()[start : start + len(block)].to(block.device)
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
