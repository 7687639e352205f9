"""Hidden states and labels in, the sum of their losses out, without ever holding all logits."""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = {"cpu": 1 << 21, "cuda": 1 << 27}
"""Logits that are held at once: what stays in a CPU's cache, and what keeps a GPU busy."""

LEAST_TOKENS = 256
"""Tokens that are read at once all the same: each chunk reads the whole table, and adds to the whole gradient of it."""

ROWS_AT_ONCE = 1 << 14
"""Rows of the table whose gradient is made at once in low precision, before it is added in high."""


class Criterion(Protocol):
    """A loss of logits, a chunk of tokens at a time."""

    def __call__(self, part: slice, logits: Tensor, *, needs_gradient: bool) -> Tensor:
        """The summed loss of some of the tokens.

        Args:
            part: which of the N tokens.
            logits: (n, V) of them, in fp32 or fp64; where its gradient is needed, it is put in their place.
        """


class CrossEntropy:
    """The cross-entropy against labels.

    Args:
        labels: (N,) ids to be predicted, none of them ignored.
    """

    def __init__(self, labels: Tensor) -> None:
        self._labels = labels

    def __call__(self, part: slice, logits: Tensor, *, needs_gradient: bool) -> Tensor:
        """See `Criterion`; the gradient is softmax - onehot."""
        wanted = self._labels[part, None]
        chosen = logits.gather(1, wanted)
        powers, total, normalizer = softmax_numerators(logits)
        if needs_gradient:
            error = powers.mul_(1 / total)
            error.scatter_add_(1, wanted, error.new_full((1, 1), -1.0).expand_as(wanted))
        return (normalizer - chosen).sum()


def softmax_numerators(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Puts in place of (n, V) logits what is proportional to their probabilities.

    Returns:
        (n, V) them; (n, 1) their sum, by which they are to be divided; (n, 1) the logarithm of the sum of the logits'
        exponentials. One pass of exponentials instead of the two that `logsumexp` and a softmax take.
    """
    largest = logits.amax(1, keepdim=True)
    powers = logits.sub_(largest).exp_()
    total = powers.sum(1, keepdim=True)
    return powers, total, largest + total.log()


def summed_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of `softmax(hidden @ weight.T)` against labels, in nats, summed over tokens.

    Equal to `F.cross_entropy(hidden @ weight.T, labels, reduction="sum")`; see `summed_loss`.

    Args:
        hidden: (N, D) the states of the tokens that predict.
        weight: (V, D) the output embeddings.
        labels: (N,) ids to be predicted, none of them ignored.

    Returns:
        A scalar in fp32 (fp64 for fp64 states).
    """
    return summed_loss(hidden, weight, CrossEntropy(labels))


def summed_loss(hidden: Tensor, weight: Tensor, criterion: Criterion) -> Tensor:
    """A loss of the logits `hidden @ weight.T`, summed over tokens.

    Logits are made, used and forgotten a few tokens at a time, gradients included: memory is O(N D + V D) in place of
    O(N V). Under autocast the products are made in its type, the loss in fp32.

    Args:
        hidden: (N, D) the states of the tokens that predict.
        weight: (V, D) the output embeddings.
        criterion: of the N tokens.

    Returns:
        A scalar in fp32 (fp64 for fp64 states).
    """
    device = hidden.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    needs_gradients = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    return _SummedLoss.apply(hidden, weight, criterion, low, needs_gradients)


class _SummedLoss(torch.autograd.Function):
    """The gradients of a chunk are made in the forward pass, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, criterion: Criterion, low: torch.dtype, needs_gradients: bool
    ) -> Tensor:
        total, gradients = _in_chunks(hidden, weight, criterion, low, needs_gradients)
        if needs_gradients:
            ctx.save_for_backward(hidden, weight)
            ctx.gradients, ctx.again = gradients, (criterion, low)
        return total

    @staticmethod
    @once_differentiable  # the gradients are constants: a second derivative would be wrong, not slow
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        found, ctx.gradients = ctx.gradients, None  # given away, so that no second table is held beside the first
        if found is None:
            (hidden, weight), (criterion, low) = ctx.saved_tensors, ctx.again
            _, found = _in_chunks(hidden, weight, criterion, low, True)
            assert found is not None
        states, table = found
        return states.mul_(gradient.to(states.dtype)), table.mul_(gradient), None, None, None


def _in_chunks(
    hidden: Tensor, weight: Tensor, criterion: Criterion, low: torch.dtype, needs_gradients: bool
) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """The summed loss, and its gradients to states and table where they are needed."""
    exact = _exact(hidden)
    total = torch.zeros((), dtype=exact, device=hidden.device)
    states, table = hidden.to(low), weight.to(low)
    state_gradient = torch.empty_like(hidden) if needs_gradients else None
    table_gradient = torch.zeros(weight.shape, dtype=exact, device=weight.device) if needs_gradients else None
    size = _tokens_at_once(hidden, weight)
    shape = min(size, len(hidden)), len(weight)
    products = states.new_empty(shape)  # used again and again: what is asked for anew has to be cleared by the system
    numbers = products if low == exact else products.new_empty(shape, dtype=exact)
    with torch.autocast(hidden.device.type, enabled=False):
        for start in range(0, len(hidden), size):
            part = states[start : start + size]
            product, logits = products[: len(part)], numbers[: len(part)]
            torch.mm(part, table.T, out=product)
            if low != exact:
                logits.copy_(product)
            total += criterion(slice(start, start + size), logits, needs_gradient=needs_gradients)
            if state_gradient is None or table_gradient is None:
                continue
            if low == exact:
                table_gradient.addmm_(logits.T, part)
            else:
                product.copy_(logits)
                for ids in range(0, len(weight), ROWS_AT_ONCE):
                    table_gradient[ids : ids + ROWS_AT_ONCE] += product[:, ids : ids + ROWS_AT_ONCE].T @ part
            state_gradient[start : start + size] = product @ table
    return total, None if state_gradient is None or table_gradient is None else (state_gradient, table_gradient)


@torch.inference_mode()
def token_losses(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """(N,) the cross-entropy of each token in nats, fp32 or better, without gradients.

    Args:
        hidden, weight, labels: as for `summed_cross_entropy`, whose terms these are.
    """
    found = [_losses(logits, wanted) for logits, wanted in _logits(hidden, weight, labels)]
    return torch.cat(found) if found else hidden.new_zeros(0, dtype=_exact(hidden))


@torch.inference_mode()
def token_losses_and_argmax(hidden: Tensor, weight: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The same, and (N,) the id that was likeliest for each token.

    Args:
        hidden, weight, labels: as for `summed_cross_entropy`.
    """
    found = [(_losses(logits, wanted), logits.argmax(1)) for logits, wanted in _logits(hidden, weight, labels)]
    if not found:
        return hidden.new_zeros(0, dtype=_exact(hidden)), labels.new_zeros(0)
    losses, guesses = zip(*found, strict=True)
    return torch.cat(losses), torch.cat(guesses)


def _logits(hidden: Tensor, weight: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """A few tokens at a time, (n, V) logits and (n,) labels."""
    size = _tokens_at_once(hidden, weight)
    for start in range(0, len(labels), size):
        yield (hidden[start : start + size] @ weight.T).to(_exact(hidden)), labels[start : start + size]


def _losses(logits: Tensor, wanted: Tensor) -> Tensor:
    return logits.logsumexp(1) - logits.gather(1, wanted[:, None])[:, 0]


def _exact(hidden: Tensor) -> torch.dtype:
    return torch.promote_types(hidden.dtype, torch.float32)


def _tokens_at_once(hidden: Tensor, weight: Tensor) -> int:
    return max(LEAST_TOKENS, CHUNK_ELEMENTS.get(hidden.device.type, CHUNK_ELEMENTS["cuda"]) // weight.shape[0])
