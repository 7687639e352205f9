"""Scores of a batch in, the loss out: each context against its own response and the others'."""

import torch
from torch import Tensor
from torch.nn import functional


def in_batch_loss(
    scores: Tensor, responses: Tensor, *, label_smoothing: float = 0.0, counted: Tensor | None = None
) -> Tensor:
    """Cross-entropy of each context's own response among those of the batch.

    Args:
        scores: (B, C), C at least B, of context i and candidate j; the first B candidates are the contexts' responses.
        responses: (C,) numbers that are equal where the texts are: an equal text is never a negative.
        label_smoothing: from 0 to 1, the share of the target that is spread over all that are left.
        counted: (B,) which contexts count; all when left out. The responses of the others stay negatives.

    Returns:
        () the mean over the contexts that count, in nats; 0 where none does.
    """
    same = responses[: len(scores), None] == responses[None]
    own = torch.eye(*scores.shape, dtype=torch.bool, device=scores.device)
    loss = pool_losses(
        scores, ~same | own, torch.arange(len(scores), device=scores.device), label_smoothing=label_smoothing
    )
    if counted is None:
        return loss.mean()
    return loss.masked_fill(~counted, 0).sum() / counted.sum().clamp(min=1)


def pool_losses(scores: Tensor, there: Tensor, gold: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each context's response among the candidates that are there.

    Args:
        scores: (B, C).
        there: (B, C), which candidates are there; the response is.
        gold: (B,) columns of the responses.
        label_smoothing: from 0 to 1, the share of the target that is spread over all that are there.

    Returns:
        (B,) in nats.
    """
    chances = scores.float().masked_fill(~there, -torch.inf).log_softmax(1)
    loss = functional.nll_loss(chances, gold, reduction="none")
    if not label_smoothing:
        return loss
    spread = -chances.masked_fill(~there, 0).sum(1) / there.sum(1)
    return (1 - label_smoothing) * loss + label_smoothing * spread
