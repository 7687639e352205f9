"""Vectors of contexts, and vectors of candidates prepared for repeated searches."""

import threading
from dataclasses import dataclass

import torch
from torch import Tensor

from convmodel.models.selection.search.int8 import BLOCK, QuantizedBlock, has_fast_int8, upper_bound

MAX_QUANTISED_BYTES = 8 * 2**30
"""Largest size of the quantized copy in bytes; larger sets of candidates are not quantized."""


@dataclass(frozen=True, slots=True)
class EncodedContexts:
    """Context vectors that candidates are compared with.

    Args:
        vectors: (B, M, D); M is 1 except for poly-encoders.
        mask: (B, M), true for valid vectors; at least one per row.
    """

    vectors: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    def cpu(self) -> "EncodedContexts":
        """Return the contexts on the CPU."""
        return EncodedContexts(self.vectors.cpu(), self.mask.cpu())

    def filled(self) -> Tensor:
        """Return (B * M, D) vectors in which each invalid vector is replaced by its context's first valid vector.

        This does not change the largest product of a context with a candidate.
        """
        first = self.vectors[torch.arange(len(self)), self.mask.int().argmax(1)][:, None]
        return torch.where(self.mask[..., None], self.vectors, first).flatten(0, 1)


class CandidateMatrix:
    """Candidate vectors for repeated searches.

    On a processor with fast int8 products, the first search creates an int8 copy in memory, which has a quarter of the
    float32 size. From then on exact vectors are read only for candidates that may be among the best.

    Args:
        vectors: (N, D); may be memory-mapped.
        removed: (N,), true for removed candidates, which a search never returns; None if there are none.
        quantise: whether to create the int8 copy if the processor has fast int8 products.

    Raises:
        ValueError: for other shapes.
    """

    def __init__(self, vectors: Tensor, *, removed: Tensor | None = None, quantise: bool = True) -> None:
        if vectors.dim() != 2 or (removed is not None and removed.shape != vectors.shape[:1]):
            raise ValueError(f"vectors of shape {tuple(vectors.shape)}; give vectors (N, D) and removed (N,)")
        self.vectors = vectors
        self.removed = removed if removed is not None and removed.any() else None
        self.left = len(vectors) - (0 if self.removed is None else int(self.removed.sum()))
        self._quantise = quantise
        self._lock = threading.Lock()
        self._quantised: list[QuantizedBlock] | None = None
        self._norms: Tensor | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def block(self, start: int, size: int, like: Tensor) -> Tensor:
        """Return at most `size` candidates from index `start` on, with the type and on the device of `like`."""
        return self.vectors[start : start + size].to(like)

    def take(self, indices: Tensor, like: Tensor) -> Tensor:
        """Return candidates by index, with the type and on the device of `like`."""
        return self.vectors[indices.to(self.vectors.device)].to(like)

    def mask_removed(self, start: int, scores: Tensor) -> Tensor:
        """Return (..., n) scores of the n candidates from index `start` on, with -inf for removed candidates."""
        if self.removed is None:
            return scores
        return scores.masked_fill(self.removed[start : start + scores.shape[-1]].to(scores.device), -torch.inf)

    def norms(self) -> Tensor:
        """Return (N,) float32 upper bounds of the candidates' Euclidean norms; computed once."""
        with self._lock:
            if self._norms is None:
                like = self.vectors.new_empty(0, dtype=torch.float32)
                blocks = (self.block(start, BLOCK, like) for start in range(0, len(self), BLOCK))
                self._norms = torch.cat(
                    [upper_bound(torch.linalg.vector_norm(block, dim=1), block.shape[1]) for block in blocks]
                )
            return self._norms

    def quantised(self) -> list[QuantizedBlock] | None:
        """Return the int8 copy in blocks of `BLOCK` candidates; None if int8 is not fast or the copy is too large."""
        with self._lock:
            if self._quantised is None and self._can_be_quantised():
                like = torch.empty(0, dtype=torch.float32)
                starts = range(0, len(self), BLOCK)
                self._quantised = [QuantizedBlock.of(self.block(start, BLOCK, like)) for start in starts]
            return self._quantised

    def _can_be_quantised(self) -> bool:
        vectors = self.vectors
        supported = vectors.device.type == "cpu" and vectors.dtype != torch.float64
        # `range_row` needs two columns.
        fits = vectors.shape[1] >= 2 and vectors.numel() <= MAX_QUANTISED_BYTES
        return self._quantise and supported and fits and has_fast_int8()
