"""Vectors of candidates in, a copy in whole numbers out, whose products with contexts are quick and known in error."""

import warnings
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from convmodel.generation.cpu import has_vnni

FULL = 127
"""The largest of the whole numbers that vectors become."""

BLOCK = 8_192
"""Candidates that are multiplied at once: what is built for them stays in the caches of a CPU."""

ROUNDING = 2.0**-24
"""Of float32: an operation's result is off by at most so much of itself."""


@dataclass(frozen=True, slots=True)
class QuantizedVectors:
    """Rows of vectors as whole numbers times a scale.

    Args:
        whole: (R, D) float32, each a whole number from -127 to 127.
        scales: (R, 1).
        norms: (R,), at least the Euclidean norm of a row as it was.
        residuals: (R,), at least the norm of what rounding took from a row.
    """

    whole: Tensor
    scales: Tensor
    norms: Tensor
    residuals: Tensor

    @classmethod
    def of(cls, rows: Tensor, *, one_scale: bool = False) -> "QuantizedVectors":
        """Rounds (R, D) float32 rows, each by a scale of its own, or all by one."""
        peaks = rows.abs().amax(1, keepdim=True)
        if one_scale:
            peaks = peaks.amax().expand_as(peaks)
        scales = (peaks / FULL).clamp(min=1e-30)
        whole = (rows / scales).round_().clamp_(-FULL, FULL)
        norms = upper_bound(torch.linalg.vector_norm(rows, dim=1), rows.shape[1])
        # The difference is itself rounded, by at most so much of what is subtracted.
        lost = torch.linalg.vector_norm(torch.addcmul(rows, whole, scales, value=-1), dim=1)
        residuals = upper_bound(lost, rows.shape[1]) + 4 * ROUNDING * norms
        return cls(whole, scales, norms, residuals)


def upper_bound(computed: Tensor, terms: int) -> Tensor:
    """A number that is at least a norm of so many terms, which float32 computed."""
    return computed * (1 + 2 * terms * ROUNDING) + 1e-30


@dataclass(frozen=True, slots=True)
class QuantizedBlock:
    """Some candidates, packed for multiplication.

    Args:
        packed: as torch's quantised linear layer keeps its weights.
        norms, residuals: see `QuantizedVectors`.
    """

    packed: object
    norms: Tensor
    residuals: Tensor

    @classmethod
    def of(cls, candidates: Tensor) -> "QuantizedBlock":
        """Packs (n, D) float32 candidates."""
        rounded = QuantizedVectors.of(candidates)
        return cls(_packed(rounded.whole, rounded.scales[:, 0]), rounded.norms, rounded.residuals)

    def products(self, whole: Tensor) -> Tensor:
        """(R + 1, D) whole numbers, of which the last row is `span`, in; (R, n) products with the candidates out.

        The products of whole numbers are exact up to their sum, and rounded to float32 twice after it.
        """
        found: Tensor = torch.ops.quantized.linear_dynamic(whole, self.packed, False)
        return found[:-1]


def range_row(width: int) -> Tensor:
    """A row that makes the kernel's own rounding of rows from -127 to 127 leave every whole number as it is.

    The kernel takes the range of all rows for 255 steps: from -128 to 127, a step is 1.
    """
    row = torch.zeros(1, width)
    row[0, :2] = torch.tensor([-FULL - 1.0, FULL])
    return row


@cache
def quick_at_int8() -> bool:
    """Whether this processor multiplies 8 bits in hardware, and this torch does so without an error.

    Where sums of products of 8 bits overflow, or the kernel has gone or has changed, the answer is no.
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
        found = block.products(torch.cat([contexts, range_row(256)]))
    except (RuntimeError, AttributeError):
        return False
    return torch.equal(found.double(), contexts.double() @ candidates.double().T)


def _packed(whole: Tensor, scales: Tensor) -> object:
    """(n, D) whole numbers as weights of a layer without a bias."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch means to move these functions elsewhere
        zeros = torch.zeros(len(whole), dtype=torch.long)
        weights = torch._make_per_channel_quantized_tensor(whole.to(torch.int8), scales.double(), zeros, 0)
        return torch.ops.quantized.linear_prepack(weights, None)
