"""Hidden states and what stood before them in, losses out that make repetition unlikely.

Source: arXiv:1908.04319.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from convmodel.models.linear_cross_entropy import CrossEntropy, softmax_numerators


@dataclass(frozen=True)
class Seen:
    """The distinct tokens that were seen before each step of some rows.

    Args:
        ids: (B, U) each row's distinct tokens in the order in which they first occur; what stands behind the last one
            is of no meaning.
        counts: (B, T) how many of them were seen up to and including each token.
    """

    ids: Tensor
    counts: Tensor


def seen_before(input_ids: Tensor, counted: Tensor) -> Seen:
    """Finds the distinct tokens of each row, in O(T log T).

    Args:
        input_ids: (B, T).
        counted: (B, T) which of the tokens count as seen: neither padding nor metadata nor separators.
    """
    beyond = int(torch.iinfo(input_ids.dtype).max)
    ordered, places = input_ids.masked_fill(~counted, beyond).sort(dim=1, stable=True)
    fresh = torch.ones_like(counted)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = torch.zeros_like(counted).scatter_(1, places, fresh & (ordered != beyond))
    counts = first.cumsum(1)
    most = int(counts[:, -1].max()) if counts.numel() else 0
    by_occurrence = (~first).to(torch.int8).argsort(dim=1, stable=True)[:, :most]
    return Seen(input_ids.gather(1, by_occurrence), counts)


LEAST = 1e-30
"""What 1 - p counts as at least, so that a candidate costs at most 69 nats."""


class Unlikelihood(CrossEntropy):
    """At each step -log p(x) - alpha * sum of log(1 - p(c)) over the candidates c: what was seen before, but for x.

    Args:
        labels: (N,) the ids x.
        seen: what was seen before in the rows of the batch.
        steps: (B, T) which steps are predicted; N of them are true.
        alpha: the weight of the candidates.
    """

    def __init__(self, labels: Tensor, seen: Seen, steps: Tensor, alpha: float) -> None:
        super().__init__(labels)
        self._seen, self._alpha = seen.ids, alpha
        self._rows, self._counts = steps.nonzero()[:, 0], seen.counts[steps]
        self._order = torch.arange(seen.ids.shape[1], device=labels.device)
        self.penalty = torch.zeros((), device=labels.device)
        """The candidates' part of the tokens so far, summed, times alpha."""

    def __call__(self, part: slice, logits: Tensor, *, needs_gradient: bool) -> Tensor:
        """See `convmodel.models.linear_cross_entropy.Criterion`.

        The gradient of -log(1 - p_c) to logit v is r_c (1[v = c] - p_v), with the odds r_c = p_c / (1 - p_c).
        """
        if not len(self._order):
            return super().__call__(part, logits, needs_gradient=needs_gradient)
        wanted, seen = self._labels[part, None], self._seen[self._rows[part]]
        candidate = (self._order < self._counts[part, None]) & (seen != wanted)
        ids = seen.where(candidate, wanted)  # where there is none, the label's place is written twice
        chosen = logits.gather(1, wanted)
        powers, total, normalizer = softmax_numerators(logits)
        losses = normalizer - chosen
        chances = (powers.gather(1, ids) / total).masked_fill_(~candidate, 0)
        likeliest, place = chances.max(1, keepdim=True)
        rest = _sum_without(powers, ids.gather(1, place), total)
        log_left = torch.log1p(-chances).scatter_(1, place, rest.log().where(likeliest > 0, 0))
        penalty = -self._alpha * log_left.sum()
        self.penalty = self.penalty + penalty
        if needs_gradient:
            odds = (chances / (1 - chances).scatter_(1, place, rest)).masked_fill_(~candidate, 0)
            others = _sums_of_others(odds, place)
            scale = 1 - self._alpha * odds.sum(1, keepdim=True)
            # A candidate's own entry is p (1 + alpha - alpha * the others' odds): as a difference of odds it would be
            # lost where p is near 1.
            own = chances * (1 + self._alpha - self._alpha * others)
            error = powers.mul_(scale / total)
            error.scatter_(1, ids, own.where(candidate, (-losses).exp() * scale))
            error.scatter_add_(1, wanted, error.new_full((1, 1), -1.0).expand_as(wanted))
        return losses.sum() + penalty


class OwnUnlikelihood:
    """-log(1 - p(x)) for tokens x that the model wrote itself.

    Args:
        written: (N,) the ids x.
    """

    def __init__(self, written: Tensor) -> None:
        self._written = written

    def __call__(self, part: slice, logits: Tensor, *, needs_gradient: bool) -> Tensor:
        """See `convmodel.models.linear_cross_entropy.Criterion`."""
        ids = self._written[part, None]
        powers, total, _ = softmax_numerators(logits)
        chances = powers.gather(1, ids) / total
        rest = _sum_without(powers, ids, total)
        if needs_gradient:
            powers.mul_(-chances / rest / total).scatter_(1, ids, chances)
        return -rest.log().sum()


def _sum_without(powers: Tensor, ids: Tensor, total: Tensor) -> Tensor:
    """(n, 1) the chance of all but one id of each row, `LEAST` at least; the ids' own entries become 0.

    Subtracted from 1, the chance of a token that is nearly certain would leave nothing but rounding.
    """
    return (powers.scatter_(1, ids, 0).sum(1, keepdim=True) / total).clamp_(min=LEAST)


def _sums_of_others(odds: Tensor, place: Tensor) -> Tensor:
    """(n, U) the sum of each row's odds without one's own.

    Args:
        odds: (n, U).
        place: (n, 1) the largest. It may be above the others by so much that they would be lost in a difference.
    """
    others = odds.scatter(1, place, 0).sum(1, keepdim=True)
    return (others + odds.gather(1, place) - odds).scatter_(1, place, others)


def repeats(written: Tensor, n: int) -> Tensor:
    """Which tokens are part of an n-gram that began before in the same row.

    N-grams may overlap, as those that seq-rep-n counts do. Source: arXiv:1908.04319, section 5.2.

    Args:
        written: (B, T) continuations; what is negative was not written and matches nothing.
        n: at least 1.

    Returns:
        (B, T)
    """
    found = torch.zeros_like(written, dtype=torch.bool)
    if written.shape[1] < n:
        return found
    places = written.shape[1] - n + 1
    same = written[:, :, None] == written[:, None]
    equal = torch.stack([same[:, i : i + places, i : i + places] for i in range(n)]).all(0)
    again = equal.tril(-1).any(-1) & (written.unfold(1, n, 1) >= 0).all(-1)
    for offset in range(n):
        found[:, offset : offset + places] |= again
    return found
