"""Cached candidates in, the same ready for many searches out."""

import threading

import torch
from torch import Tensor

from convmodel.models.selection.search.int8 import BLOCK, QuantizedBlock, quick_at_int8, upper_bound

MOST_QUANTISED = 8 * 2**30
"""Bytes that a quantised copy takes at most; more candidates are read as they are."""


class CandidateMatrix:
    """Candidates that are searched more than once.

    On a processor that is quick at 8 bits, the first search makes a rounded copy of a quarter of their size, in memory;
    after it, only those that may be among the best are read as they are.

    Args:
        vectors: (N, D); may be memory-mapped.
        gone: (N,), which of them are never found; None for none.
        quantise: whether to make that copy, where it helps.

    Raises:
        ValueError: for vectors of another shape.
    """

    def __init__(self, vectors: Tensor, *, gone: Tensor | None = None, quantise: bool = True) -> None:
        if vectors.dim() != 2 or (gone is not None and gone.shape != vectors.shape[:1]):
            raise ValueError(f"vectors of shape {tuple(vectors.shape)}; give (N, D), and N for what is gone")
        self.vectors = vectors
        self.gone = gone if gone is not None and gone.any() else None
        self.left = len(vectors) - (0 if self.gone is None else int(self.gone.sum()))
        self._quantise = quantise
        self._lock = threading.Lock()
        self._quantised: list[QuantizedBlock] | None = None
        self._norms: Tensor | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def block(self, start: int, size: int, like: Tensor) -> Tensor:
        """Candidates from a number on, with the type and on the device of another tensor."""
        return self.vectors[start : start + size].to(like)

    def take(self, numbers: Tensor, like: Tensor) -> Tensor:
        """Candidates by their numbers, with the type and on the device of another tensor."""
        return self.vectors[numbers.to(self.vectors.device)].to(like)

    def without(self, start: int, scores: Tensor) -> Tensor:
        """(..., n) scores of the candidates from a number on, with -inf for those that are gone."""
        if self.gone is None:
            return scores
        return scores.masked_fill(self.gone[start : start + scores.shape[-1]].to(scores.device), -torch.inf)

    def there(self, start: int, size: int) -> Tensor:
        """(n,), which candidates from a number on are not gone."""
        stop = min(start + size, len(self))
        if self.gone is None:
            return torch.ones(stop - start, dtype=torch.bool)
        return ~self.gone[start:stop]

    def norms(self) -> Tensor:
        """(N,) float32, at least the Euclidean norms of the candidates; found once."""
        with self._lock:
            if self._norms is None:
                like = self.vectors.new_empty(0, dtype=torch.float32)
                blocks = (self.block(start, BLOCK, like) for start in range(0, len(self), BLOCK))
                self._norms = torch.cat(
                    [upper_bound(torch.linalg.vector_norm(each, dim=1), each.shape[1]) for each in blocks]
                )
            return self._norms

    def quantised(self) -> list[QuantizedBlock] | None:
        """The rounded copy, in blocks of `BLOCK`; None where it would not be quick or would not fit."""
        with self._lock:
            if self._quantised is None and self._can_be_quantised():
                like = torch.empty(0, dtype=torch.float32)
                starts = range(0, len(self), BLOCK)
                self._quantised = [QuantizedBlock.of(self.block(start, BLOCK, like)) for start in starts]
            return self._quantised

    def _can_be_quantised(self) -> bool:
        vectors = self.vectors
        here = vectors.device.type == "cpu" and vectors.dtype != torch.float64
        fits = vectors.shape[1] >= 2 and vectors.numel() <= MOST_QUANTISED  # the kernel's span takes two columns
        return self._quantise and here and fits and quick_at_int8()
