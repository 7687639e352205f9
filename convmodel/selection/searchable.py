"""Cached candidates in, the same ready for many searches out."""

import torch
from torch import Tensor

from convmodel.selection.quantised import BLOCK, QuantisedBlock, quick_at_int8

MOST_QUANTISED = 8 * 2**30
"""Bytes that a quantised copy takes at most; more candidates are read as they are."""


class Searchable:
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
        self._quantised: list[QuantisedBlock] | None = None

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

    def quantised(self) -> list[QuantisedBlock] | None:
        """The rounded copy, in blocks of `BLOCK`; None where it would not be quick or would not fit."""
        if self._quantised is None:
            fits = self._quantise and self.vectors.device.type == "cpu" and self.vectors.dtype != torch.float64
            if not fits or self.vectors.numel() > MOST_QUANTISED or not quick_at_int8():
                return None
            if self.vectors.shape[1] < 2:  # the kernel's span needs two
                return None
            whole = torch.empty(0, dtype=torch.float32)
            starts = range(0, len(self), BLOCK)
            self._quantised = [QuantisedBlock.of(self.block(start, BLOCK, whole)) for start in starts]
        return self._quantised
