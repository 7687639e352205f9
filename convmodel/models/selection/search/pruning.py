"""Pruning of pairs of context and candidate whose score bounds exclude them from the k best of their context."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from convmodel.models.selection.search.bounds import BoundedScores, ScoreBounds

GROUP = 32
"""Number of candidates in a group. A group's scores are compared one by one only if the largest is large enough."""

SPAN = 1 << 23
"""Number of approximate scores held in memory at once."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs of a context and a candidate, sorted by context, then by candidate.

    Args:
        rows: (P,) context indices.
        ids: (P,) candidate indices.
        scores: (P,) approximate scores.
        bounds: (P,) upper bounds of the exact scores.
    """

    rows: Tensor
    ids: Tensor
    scores: Tensor
    bounds: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, selection: Tensor) -> "Pairs":
        """Return some of the pairs, by a (P,) mask or by (K,) positions in a new order."""
        return Pairs(self.rows[selection], self.ids[selection], self.scores[selection], self.bounds[selection])


ExactScorer = Callable[[Tensor, Tensor], Tensor]
"""Function that returns (P,) exact scores for (P,) context indices in ascending order and (P,) candidate indices."""


def survivors(bounds: ScoreBounds, k: int, *, exact: ExactScorer, limit: int) -> Pairs | None:
    """Return all pairs that may be among the k best of their context.

    The most promising pairs are scored exactly. A pair survives if its upper bound is at least the k-th best exact
    score of its context so far.

    Args:
        bounds: approximate scores and their error bounds.
        k: at most the number of candidates.
        exact: computes exact scores.
        limit: largest number of surviving pairs.

    Returns:
        The pairs; None if more than `limit` pairs survive, or if scores are too large for float32.
    """
    contexts = len(bounds.query)
    best = bounds.of_norm.new_full((contexts, k), -torch.inf)  # exact scores of the k best candidates so far
    parts: list[Pairs] = []
    for blocks in _spans(bounds, k):
        tops = torch.cat([block.tops for block in blocks], 1)
        if not all(block.errors.isfinite().all() for block in blocks) or not (tops < torch.inf).all():
            return None
        threshold = tops.topk(min(k, tops.shape[1])).values[:, -1]
        likely = _concatenated([block.pairs_above(threshold, with_errors=False) for block in blocks])
        positions, mask = top_pairs(likely.rows, likely.scores, count=contexts, k=k)
        new = torch.full_like(best, -torch.inf)
        chosen = positions[mask]  # in ascending order of contexts
        new[mask] = exact(likely.rows[chosen], likely.ids[chosen]).to(new)
        best = torch.cat([best, new], 1).topk(k).values
        parts.append(_concatenated([block.pairs_above(best[:, -1]) for block in blocks]))
        if sum(map(len, parts)) > limit:
            return None
    pairs = _concatenated(parts)
    return pairs.select(pairs.bounds >= best[pairs.rows, -1])


@dataclass(frozen=True, slots=True)
class _Grouped:
    """A block's candidates in G groups of `size`: candidate i * G + j is in group j.

    Args:
        block: the block.
        of_norm, of_residual: (B, 1) factors of the error bound, see `ScoreBounds`.
        scores: (B, size * G) approximate scores; -inf for removed candidates and padding.
        tops: (B, G) largest score of each group.
        errors: (B, G) upper bounds of the errors of all scores in each group.
    """

    block: BoundedScores
    of_norm: Tensor
    of_residual: Tensor
    scores: Tensor
    size: int
    tops: Tensor
    errors: Tensor

    @classmethod
    def of(cls, block: BoundedScores, of_norm: Tensor, of_residual: Tensor, *, size: int) -> "_Grouped":
        groups = -(-block.scores.shape[1] // size)
        missing = groups * size - block.scores.shape[1]
        scores = functional.pad(block.scores, (0, missing), value=-torch.inf) if missing else block.scores
        tops = scores.reshape(len(scores), size, groups).amax(1)
        norms, residuals = (
            functional.pad(values, (0, missing)).view(size, groups).amax(0) for values in (block.norms, block.residuals)
        )
        return cls(block, of_norm, of_residual, scores, size, tops, of_norm * norms + of_residual * residuals)

    def pairs_above(self, thresholds: Tensor, *, with_errors: bool = True) -> Pairs:
        """Return the pairs whose upper bound is at least the context's threshold.

        Args:
            thresholds: (B,) thresholds of the contexts.
            with_errors: False compares the approximate scores with the thresholds, instead of the upper bounds.
        """
        block = self.block
        largest = self.tops + self.errors if with_errors else self.tops
        rows, group = ((largest >= thresholds[:, None]) & (self.tops > -torch.inf)).nonzero(as_tuple=True)
        columns = group[:, None] + self.tops.shape[1] * torch.arange(self.size, device=group.device)
        scores = self.scores[rows[:, None], columns]
        bounds = scores
        if with_errors:
            within = columns.clamp(max=len(block.norms) - 1)
            bounds = (
                scores + self.of_norm[rows] * block.norms[within] + self.of_residual[rows] * block.residuals[within]
            )
        kept = (bounds >= thresholds[rows, None]) & (scores > -torch.inf)
        return Pairs(rows[:, None].expand_as(columns)[kept], block.start + columns[kept], scores[kept], bounds[kept])


def _spans(bounds: ScoreBounds, k: int) -> Iterator[list[_Grouped]]:
    """Yield lists of grouped blocks with about `SPAN` scores each."""
    of_norm = bounds.of_norm[:, None]
    of_residual = bounds.of_residual[:, None]
    size = GROUP if len(bounds.candidates) >= 8 * GROUP * k else 1
    blocks: list[_Grouped] = []
    held = 0
    for block in bounds:
        blocks.append(_Grouped.of(block, of_norm, of_residual, size=size))
        held += block.scores.numel()
        if held >= SPAN:
            yield blocks
            blocks = []
            held = 0
    if blocks:
        yield blocks


def _concatenated(parts: Sequence[Pairs]) -> Pairs:
    """Return the pairs of all parts, sorted by context, then by candidate."""
    pairs = Pairs(*(torch.cat([getattr(part, name) for part in parts]) for name in Pairs.__slots__))
    order = pairs.ids.argsort()
    return pairs.select(order[pairs.rows[order].argsort(stable=True)])


def top_pairs(rows: Tensor, scores: Tensor, *, count: int, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best of P pairs for each of B contexts.

    Args:
        rows: (P,) context indices, in ascending order.
        scores: (P,) scores.
        count: B.

    Returns:
        (B, k) positions among the pairs, best first, and for equal scores in ascending order; and a (B, k) mask that is
        false for missing pairs, if a context has fewer than k.
    """
    order = scores.argsort(descending=True, stable=True)
    order = order[rows[order].argsort(stable=True)]
    counts = torch.bincount(rows, minlength=count)
    ranks = torch.arange(k, device=rows.device)
    mask = ranks < counts[:, None]
    positions = (counts.cumsum(0) - counts)[:, None] + ranks
    return (order[positions.masked_fill(~mask, 0)] if len(order) else torch.zeros_like(positions)), mask
