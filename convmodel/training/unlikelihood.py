"""Unlikelihood losses, which lower the probability of repeated tokens. Source: arXiv:1908.04319."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convmodel.models.linear_cross_entropy import CrossEntropy, softmax_numerators


@dataclass(frozen=True)
class SeenTokens:
    """Distinct tokens up to each position, for a batch of B rows of T tokens, with at most U distinct tokens each."""

    ids: Tensor
    """(B, U) distinct tokens of each row in order of first occurrence. Entries after the last one are undefined."""
    counts: Tensor
    """(B, T) number of distinct tokens up to and including each position: the first entries of `ids` are these."""


def find_seen_tokens(input_ids: Tensor, counted: Tensor) -> SeenTokens:
    """Find the distinct tokens of each row in O(T log T).

    Args:
        input_ids: (B, T) token ids.
        counted: (B, T) mask of the tokens to include.
    """
    ignored_id = int(torch.iinfo(input_ids.dtype).max)
    ordered, positions = input_ids.masked_fill(~counted, ignored_id).sort(dim=1, stable=True)
    is_new = torch.ones_like(counted)
    is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = torch.zeros_like(counted).scatter_(1, positions, is_new & (ordered != ignored_id))
    counts = first.cumsum(1)
    max_distinct = int(counts[:, -1].max()) if counts.numel() else 0
    by_occurrence = (~first).to(torch.int8).argsort(dim=1, stable=True)[:, :max_distinct]
    return SeenTokens(input_ids.gather(1, by_occurrence), counts)


MIN_PROBABILITY = 1e-30
"""Lower bound of 1 - p, so that the loss of a candidate is at most 69 nats."""


class Unlikelihood(CrossEntropy):
    """Token-level loss: -log p(x) - alpha * sum of log(1 - p(c)) at each step.

    The candidates c are the earlier tokens of the row, except x itself. N is the number of predicted tokens.

    Args:
        labels: (N,) target ids x.
        seen: Distinct tokens of the input up to each position.
        steps: (B, T) mask of the predicted steps; N entries are true.
        alpha: Weight of the unlikelihood part.
    """

    def __init__(self, labels: Tensor, seen: SeenTokens, steps: Tensor, alpha: float) -> None:
        super().__init__(labels)
        self._seen = seen.ids
        self._alpha = alpha
        self._rows = steps.nonzero()[:, 0]
        self._counts = seen.counts[steps]
        self._order = torch.arange(seen.ids.shape[1], device=labels.device)
        self.penalty = torch.zeros((), device=labels.device)
        """Sum of the unlikelihood part of the loss, including alpha, over the chunks computed so far."""

    def __call__(self, part: slice, logits: Tensor, *, needs_gradient: bool) -> Tensor:
        """Return the summed loss of a chunk of the N predictions.

        If `needs_gradient`, `logits` is overwritten with its gradient. The gradient of -log(1 - p_c) with respect to
        logit v is r_c (1[v = c] - p_v), with the odds r_c = p_c / (1 - p_c).
        """
        if not len(self._order):
            return super().__call__(part, logits, needs_gradient=needs_gradient)
        labels = self._labels[part, None]
        seen = self._seen[self._rows[part]]
        is_candidate = (self._order < self._counts[part, None]) & (seen != labels)
        ids = seen.where(is_candidate, labels)  # other entries repeat the label, whose entry is written anyway
        label_logits = logits.gather(1, labels)
        powers, total, normalizer = softmax_numerators(logits)
        losses = normalizer - label_logits
        probabilities = (powers.gather(1, ids) / total).masked_fill_(~is_candidate, 0)
        largest, position = probabilities.max(1, keepdim=True)
        complement = _complement(powers, ids.gather(1, position), total)
        log_complements = torch.log1p(-probabilities).scatter_(1, position, complement.log().where(largest > 0, 0))
        penalty = -self._alpha * log_complements.sum()
        self.penalty = self.penalty + penalty
        if needs_gradient:
            odds = probabilities / (1 - probabilities).scatter_(1, position, complement)
            odds.masked_fill_(~is_candidate, 0)
            other_odds = _sums_of_others(odds, position)
            scale = 1 - self._alpha * odds.sum(1, keepdim=True)
            # The gradient of a candidate's own logit is p (1 + alpha - alpha * other odds). Written as a difference of
            # odds it would lose all precision where p is near 1.
            own = probabilities * (1 + self._alpha - self._alpha * other_odds)
            error = powers.mul_(scale / total)
            error.scatter_(1, ids, own.where(is_candidate, (-losses).exp() * scale))
            error.scatter_add_(1, labels, error.new_full((1, 1), -1.0).expand_as(labels))
        return losses.sum() + penalty


@dataclass(frozen=True)
class OwnUnlikelihood:
    """Sequence-level loss: -log(1 - p(x)) for (N,) tokens x that the model generated."""

    written: Tensor

    def __call__(self, part: slice, logits: Tensor, *, needs_gradient: bool) -> Tensor:
        ids = self.written[part, None]
        powers, total, _ = softmax_numerators(logits)
        probabilities = powers.gather(1, ids) / total
        complement = _complement(powers, ids, total)
        if needs_gradient:
            powers.mul_(-probabilities / complement / total).scatter_(1, ids, probabilities)
        return -complement.log().sum()


def _complement(powers: Tensor, ids: Tensor, total: Tensor) -> Tensor:
    """Return 1 - p of one token per row as (n, 1), at least `MIN_PROBABILITY`.

    The other entries of the row are summed, because 1 - p would have no precision for a p near 1. This sets the entries
    of `ids`, (n, 1), in `powers`, (n, V), to 0. `total`, (n, 1), is the sum of each row of `powers` before.
    """
    return (powers.scatter_(1, ids, 0).sum(1, keepdim=True) / total).clamp_(min=MIN_PROBABILITY)


def _sums_of_others(odds: Tensor, position: Tensor) -> Tensor:
    """Return, for each entry of `odds`, (n, U), the sum of the other entries of its row.

    The sum without the largest entry, at `position`, (n, 1), is computed directly. As the difference of the total and
    this entry it would lose all precision if the entry is much larger than the others.
    """
    others = odds.scatter(1, position, 0).sum(1, keepdim=True)
    return (others + odds.gather(1, position) - odds).scatter_(1, position, others)


def repeated_ngrams(written: Tensor, n: int) -> Tensor:
    """Return the (B, T) mask of tokens that belong to an n-gram with an earlier occurrence in the same row.

    N-grams may overlap, as in the metric seq-rep-n. Negative ids in `written`, (B, T), mark tokens that were not
    generated; they match no other token. Source: arXiv:1908.04319, section 5.2.
    """
    mask = torch.zeros_like(written, dtype=torch.bool)
    if written.shape[1] < n:
        return mask
    starts = written.shape[1] - n + 1
    same = written[:, :, None] == written[:, None]
    equal = torch.stack([same[:, i : i + starts, i : i + starts] for i in range(n)]).all(0)
    repeated = equal.tril(-1).any(-1) & (written.unfold(1, n, 1) >= 0).all(-1)
    for offset in range(n):
        mask[:, offset : offset + starts] |= repeated
    return mask
