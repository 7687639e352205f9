"""Vectors quantized to int8: their products with context vectors are fast and have a known error bound."""

import warnings
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from convmodel.generation.cpu import has_vnni

FULL = 127
"""The largest magnitude of a quantized value."""

BLOCK = 8_192
"""Number of candidates multiplied at once, so that intermediate results stay in a CPU's caches."""

ROUNDING = 2.0**-24
"""Unit roundoff of float32: the largest relative error of one operation."""


@dataclass(frozen=True, slots=True)
class QuantizedVectors:
    """R vectors as integers times a scale per row.

    Args:
        whole: (R, D) integers from -127 to 127, as float32.
        scales: (R, 1) factors of the integers.
        norms: (R,) upper bounds of the original rows' Euclidean norms.
        residuals: (R,) upper bounds of the norms of the rounding errors.
    """

    whole: Tensor
    scales: Tensor
    norms: Tensor
    residuals: Tensor

    @classmethod
    def of(cls, rows: Tensor, *, one_scale: bool = False) -> "QuantizedVectors":
        """Quantize (R, D) float32 rows, with one scale per row, or with a single scale for all rows."""
        peaks = rows.abs().amax(1, keepdim=True)
        if one_scale:
            peaks = peaks.amax().expand_as(peaks)
        scales = (peaks / FULL).clamp(min=1e-30)
        whole = (rows / scales).round_().clamp_(-FULL, FULL)
        norms = upper_bound(torch.linalg.vector_norm(rows, dim=1), rows.shape[1])
        # The computed difference has a rounding error too, of at most 4 unit roundoffs times the norm.
        lost = torch.linalg.vector_norm(torch.addcmul(rows, whole, scales, value=-1), dim=1)
        residuals = upper_bound(lost, rows.shape[1]) + 4 * ROUNDING * norms
        return cls(whole, scales, norms, residuals)


def upper_bound(computed: Tensor, terms: int) -> Tensor:
    """Return an upper bound of the exact norm of vectors with `terms` elements, whose norm was computed in float32."""
    return computed * (1 + 2 * terms * ROUNDING) + 1e-30


@dataclass(frozen=True, slots=True)
class QuantizedBlock:
    """A block of candidates as prepacked weights of torch's quantized linear layer; see `QuantizedVectors`."""

    packed: object
    norms: Tensor
    residuals: Tensor

    @classmethod
    def of(cls, candidates: Tensor) -> "QuantizedBlock":
        """Quantize and pack (n, D) float32 candidates."""
        rounded = QuantizedVectors.of(candidates)
        return cls(_packed(rounded.whole, rounded.scales[:, 0]), rounded.norms, rounded.residuals)

    def products(self, whole: Tensor) -> Tensor:
        """Return the (R, n) products of R rows with n candidates.

        Integer products and their sums are exact; the sum is rounded to float32 twice.

        Args:
            whole: (R + 1, D) integers from -127 to 127, as float32; the last row is `range_row(D)`.
        """
        products: Tensor = torch.ops.quantized.linear_dynamic(whole, self.packed, False)
        return products[:-1]


def range_row(width: int) -> Tensor:
    """Return a (1, D) row with which torch's kernel leaves integers from -127 to 127 unchanged.

    The kernel quantizes its inputs by dividing the range of all rows into 255 steps. The row contains -128 and 127, so
    that a step is 1.
    """
    row = torch.zeros(1, width)
    row[0, :2] = torch.tensor([-FULL - 1.0, FULL])
    return row


@cache
def has_fast_int8() -> bool:
    """Return whether the processor has int8 products in hardware and this version of torch computes them exactly.

    The result is False if sums of int8 products overflow, or if torch's kernel is missing or behaves differently.
    """
    if not has_vnni() or not hasattr(torch.ops.quantized, "linear_dynamic"):
        return False
    generator = torch.Generator().manual_seed(0)
    candidates = torch.randint(-FULL, FULL + 1, (64, 256), generator=generator).float()
    contexts = torch.randint(-FULL, FULL + 1, (5, 256), generator=generator).float()
    candidates[0] = contexts[0] = contexts[1] = FULL
    candidates[1] = -FULL
    try:
        block = QuantizedBlock(_packed(candidates, torch.ones(64)), torch.ones(64), torch.ones(64))
        products = block.products(torch.cat([contexts, range_row(256)]))
    except (RuntimeError, AttributeError):
        return False
    return torch.equal(products.double(), contexts.double() @ candidates.double().T)


def _packed(whole: Tensor, scales: Tensor) -> object:
    """Pack (n, D) integers as the weights of a quantized linear layer without a bias."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns that it will move these functions to another package
        zeros = torch.zeros(len(whole), dtype=torch.long)
        weights = torch._make_per_channel_quantized_tensor(whole.to(torch.int8), scales.double(), zeros, 0)
        return torch.ops.quantized.linear_prepack(weights, None)
