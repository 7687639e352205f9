"""Approximate scores with a proven error in, the few pairs that may be among the best out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from convmodel.models.selection.search.bounds import BoundedScores, ScoreBounds

GROUP = 32
"""Candidates whose largest score stands for all of them until it is large enough."""

SPAN = 1 << 23
"""Approximate scores that are held at once."""


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


def survivors(scored: ScoreBounds, k: int, *, exact: Exact, limit: int) -> Pairs | None:
    """All pairs that may be among the k best of their context.

    Args:
        scored: approximate scores of all pairs.
        k: how many are looked for, at most as many as there are.
        exact: scores some pairs; the better the k-th best is known, the fewer survive.
        limit: of the pairs.

    Returns:
        None where there are more than `limit`, or where numbers are too large for float32.
    """
    contexts = len(scored.queries)
    best = scored.of_norm.new_full((contexts, k), -torch.inf)  # exact scores of the k best that are known
    parts: list[Pairs] = []
    for blocks in _spans(scored, k):
        tops = torch.cat([block.tops for block in blocks], 1)
        if not all(block.errors.isfinite().all() for block in blocks) or not (tops < torch.inf).all():
            return None
        seemingly = tops.topk(min(k, tops.shape[1])).values[:, -1]
        first = _joined([block.alive(seemingly, with_errors=False) for block in blocks])
        places, there = best_of_each(first.rows, first.scores, count=contexts, k=k)
        known = torch.full_like(best, -torch.inf)
        chosen = places[there]  # by context
        known[there] = exact(first.rows[chosen], first.ids[chosen]).to(known)
        best = torch.cat([best, known], 1).topk(k).values
        parts.append(_joined([block.alive(best[:, -1]) for block in blocks]))
        if sum(map(len, parts)) > limit:
            return None
    least = best[:, -1]
    found = _joined(parts)
    return found.where(found.above >= least[found.rows])


@dataclass(frozen=True, slots=True)
class _Grouped:
    """A block's candidates in G groups of `size`: candidate i * G + j is in group j.

    Args:
        block: the candidates.
        of_norm, of_residual: (B, 1), see `ScoreBounds`.
        scores: (B, size * G), -inf where there is no candidate.
        size: of a group.
        tops: (B, G), the largest of each group.
        errors: (B, G), at least the error of each score in the group.
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
            functional.pad(each, (0, missing)).view(size, groups).amax(0) for each in (block.norms, block.residuals)
        )
        return cls(block, of_norm, of_residual, scores, size, tops, of_norm * norms + of_residual * residuals)

    def alive(self, least: Tensor, *, with_errors: bool = True) -> Pairs:
        """Those that may be at least as good as (B,) scores; without errors, those that seem so."""
        block, groups = self.block, self.tops.shape[1]
        largest = self.tops + self.errors if with_errors else self.tops
        rows, group = ((largest >= least[:, None]) & (self.tops > -torch.inf)).nonzero(as_tuple=True)
        places = group[:, None] + groups * torch.arange(self.size, device=group.device)
        scores = self.scores[rows[:, None], places]
        above = scores
        if with_errors:
            within = places.clamp(max=len(block.norms) - 1)
            above = scores + self.of_norm[rows] * block.norms[within] + self.of_residual[rows] * block.residuals[within]
        kept = (above >= least[rows, None]) & (scores > -torch.inf)
        return Pairs(rows[:, None].expand_as(places)[kept], block.start + places[kept], scores[kept], above[kept])


def _spans(scored: ScoreBounds, k: int) -> Iterator[list[_Grouped]]:
    """Blocks, as many at a time as memory is to hold the scores of."""
    of_norm, of_residual = scored.of_norm[:, None], scored.of_residual[:, None]
    size = GROUP if len(scored.candidates) >= 8 * GROUP * k else 1
    blocks: list[_Grouped] = []
    held = 0
    for block in scored:
        blocks.append(_Grouped.of(block, of_norm, of_residual, size=size))
        held += block.scores.numel()
        if held >= SPAN:
            yield blocks
            blocks, held = [], 0
    if blocks:
        yield blocks


def _joined(parts: Sequence[Pairs]) -> Pairs:
    """Pairs of one part after the other, in the order of their contexts, then of their candidates."""
    found = Pairs(*(torch.cat([getattr(part, name) for part in parts]) for name in Pairs.__slots__))
    return found.where(found.rows.argsort(stable=True))


def best_of_each(rows: Tensor, scores: Tensor, *, count: int, k: int) -> tuple[Tensor, Tensor]:
    """The k best pairs of each of B contexts.

    Args:
        rows: (P,), in order.
        scores: (P,)
        count: B.
        k: how many.

    Returns:
        (B, k) places among the pairs, best first, of equal scores the smaller place first; and which of them are there.
    """
    order = scores.argsort(descending=True, stable=True)
    order = order[rows[order].argsort(stable=True)]
    counts = torch.bincount(rows, minlength=count)
    number = torch.arange(k, device=rows.device)
    there = number < counts[:, None]
    places = (counts.cumsum(0) - counts)[:, None] + number
    return (order[places.masked_fill(~there, 0)] if len(order) else torch.zeros_like(places)), there
