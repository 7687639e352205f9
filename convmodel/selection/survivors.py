"""Approximate scores with a proven error in, the few pairs that may be among the best out."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convmodel.selection.passes import Approximate, Pass

GROUP = 32
"""Candidates whose largest score stands for all of them until it is large enough."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs of a context and a candidate, by context, then by candidate.

    Args:
        rows: (P,), numbers of contexts.
        ids: (P,), numbers of candidates.
        scores: (P,), approximate.
        above: (P,), at least the scores.
    """

    rows: Tensor
    ids: Tensor
    scores: Tensor
    above: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, kept: Tensor) -> "Pairs":
        """Some of them, by a (P,) mask or by (K,) places in a new order."""
        return Pairs(self.rows[kept], self.ids[kept], self.scores[kept], self.above[kept])


Exact = Callable[[Tensor, Tensor], Tensor]
"""(P,) numbers of contexts, in order, and (P,) of candidates in, their scores out."""


def survivors(scored: Pass, k: int, *, exact: Exact, limit: int) -> Pairs | None:
    """All pairs that may be among the k best of their context.

    Args:
        scored: approximate scores of all pairs.
        k: how many are looked for, at most as many as there are.
        exact: scores some pairs; the better the k-th best is known, the fewer survive.
        limit: of the pairs.

    Returns:
        None where there are more than `limit`, or where numbers are too large for float32.
    """
    errors = scored.of_norm[:, None], scored.of_residual[:, None]
    least = torch.full((len(scored.queries), k), -torch.inf, device=errors[0].device)
    parts: list[Pairs] = []
    kept = 0
    for number, block in enumerate(scored):
        grouped = _Grouped.of(block, errors, scored.candidates.without(block.start, block.scores), k=k)
        if not (grouped.tops < torch.inf).all() or not grouped.errors.isfinite().all():
            return None
        # The largest of each group is a candidate of its own: the k-th of them is no better than the k-th best.
        lows = grouped.tops - grouped.errors - scored.below[:, None]
        if number & (number + 1) == 0:  # 0, 1, 3, 7, ...: later blocks seldom hold better ones
            ids, there = grouped.best(k)
            rows = torch.arange(len(ids), device=ids.device).repeat_interleave(ids.shape[1])
            known = exact(rows, block.start + ids.flatten()).view_as(ids).to(lows.dtype)
            lows = known.masked_fill(~there, -torch.inf)
        least = torch.cat([least, lows], 1).topk(k).values
        parts.append(grouped.alive(least[:, -1], errors, block))
        kept += len(parts[-1])
        if kept > 2 * limit:
            return None
    found = Pairs(*(torch.cat([getattr(part, name) for part in parts]) for name in Pairs.__slots__))
    found = found.where(found.above >= least[found.rows, -1])
    if len(found) > limit:
        return None
    return found.where((found.rows * len(scored.candidates) + found.ids).argsort())


@dataclass(frozen=True, slots=True)
class _Grouped:
    """A block's candidates in G groups of `size`: candidate i * G + j is in group j.

    Args:
        scores: (B, size * G), -inf where there is no candidate.
        tops: (B, G), the largest of each group.
        errors: (B, G), at least the error of each score in the group.
    """

    scores: Tensor
    size: int
    tops: Tensor
    errors: Tensor

    @classmethod
    def of(cls, block: Approximate, errors: tuple[Tensor, Tensor], scores: Tensor, *, k: int) -> "_Grouped":
        count = scores.shape[1]
        size = GROUP if count >= 4 * GROUP * k else 1
        groups = -(-count // size)
        missing = groups * size - count
        padded = torch.nn.functional.pad(scores, (0, missing), value=-torch.inf) if missing else scores
        tops = padded.reshape(len(scores), size, groups).amax(1)
        norms, residuals = (_grouped_largest(each, size, groups) for each in (block.norms, block.residuals))
        return cls(padded, size, tops, errors[0] * norms + errors[1] * residuals)

    def best(self, k: int) -> tuple[Tensor, Tensor]:
        """(B, K) places of the best of the k best groups, and whether there is a candidate; no place stands twice."""
        tops, groups = self.tops.topk(min(k, self.tops.shape[1]))
        rows = torch.arange(len(tops), device=tops.device)[:, None, None]
        places = groups[..., None] + self.tops.shape[1] * torch.arange(self.size, device=tops.device)
        inside = self.scores[rows, places].argmax(2, keepdim=True)
        there = tops > -torch.inf
        return places.gather(2, inside)[..., 0].masked_fill(~there, 0), there

    def alive(self, least: Tensor, errors: tuple[Tensor, Tensor], block: Approximate) -> Pairs:
        """Those that may be at least as good as (B,) scores."""
        groups = self.tops.shape[1]
        rows, group = ((self.tops + self.errors >= least[:, None]) & (self.tops > -torch.inf)).nonzero(as_tuple=True)
        places = group[:, None] + groups * torch.arange(self.size, device=group.device)
        scores = self.scores[rows[:, None], places]
        within = places.clamp(max=len(block.norms) - 1)
        above = scores + errors[0][rows] * block.norms[within] + errors[1][rows] * block.residuals[within]
        kept = (above >= least[rows, None]) & (scores > -torch.inf)
        return Pairs(rows[:, None].expand_as(places)[kept], block.start + places[kept], scores[kept], above[kept])


def _grouped_largest(values: Tensor, size: int, groups: int) -> Tensor:
    padded = torch.nn.functional.pad(values, (0, size * groups - len(values)))
    return padded.view(size, groups).amax(0)


def best_of_each(rows: Tensor, ids: Tensor, scores: Tensor, *, count: int, k: int) -> tuple[Tensor, Tensor]:
    """The k best pairs of each of B contexts.

    Args:
        rows, ids: (P,), as in `Pairs`; each context has at least k.
        scores: (P,)
        count: B.
        k: how many.

    Returns:
        (B, k) numbers of candidates, best first, of equal scores the smaller number first; and their scores.
    """
    order = scores.argsort(descending=True, stable=True)
    order = order[rows[order].argsort(stable=True)]
    first = torch.bincount(rows, minlength=count).cumsum(0).roll(1)
    first[0] = 0
    places = order[first[:, None] + torch.arange(k, device=rows.device)]
    return ids[places], scores[places]
