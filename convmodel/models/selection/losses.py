"""Ranking losses: cross-entropy of each context's response among the candidates of the batch or of a pool."""

import torch
from torch import Tensor
from torch.nn import functional


def in_batch_loss(
    scores: Tensor,
    responses: Tensor,
    *,
    label_smoothing: float = 0.0,
    counted: Tensor | None = None,
    count: Tensor | None = None,
) -> Tensor:
    """Return the mean cross-entropy, in nats, of each context's response among all candidates of the batch.

    The loss is a scalar, and 0 if `counted` is false for all contexts.

    Args:
        scores: (B, C) score of context i and candidate j, with C >= B; the first B candidates are the responses.
        responses: (C,) ids of the candidates' texts. Duplicates of a context's response have the id of the response;
            they are masked, so that they are never negatives.
        label_smoothing: the share of the target, from 0 to 1, that is spread over the candidates that are not masked.
        counted: (B,), true for contexts whose loss counts; None counts all. The responses of the other contexts remain
            negatives.
        count: number by which the sum over contexts is divided; None for the number of contexts that count.
    """
    same = responses[: len(scores), None] == responses[None]
    own = torch.eye(*scores.shape, dtype=torch.bool, device=scores.device)
    loss = pool_losses(
        scores, ~same | own, torch.arange(len(scores), device=scores.device), label_smoothing=label_smoothing
    )
    if counted is None:
        counted = torch.ones_like(loss, dtype=torch.bool)
    if count is None:
        count = counted.sum().clamp(min=1)
    return loss.masked_fill(~counted, 0).sum() / count


def pool_losses(scores: Tensor, mask: Tensor, gold: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return (B,) cross-entropies, in nats, of each context's response among the candidates of its pool.

    Args:
        scores: (B, C) scores.
        mask: (B, C), true for the candidates of a context's pool, which include its response.
        gold: (B,) column of each context's response.
        label_smoothing: see `in_batch_loss`.
    """
    log_probabilities = scores.float().masked_fill(~mask, -torch.inf).log_softmax(1)
    loss = functional.nll_loss(log_probabilities, gold, reduction="none")
    if not label_smoothing:
        return loss
    spread = -log_probabilities.masked_fill(~mask, 0).sum(1) / mask.sum(1)
    return (1 - label_smoothing) * loss + label_smoothing * spread
