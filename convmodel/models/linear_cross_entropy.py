"""Chunked linear cross-entropy: the loss of a linear output layer without keeping all logits in memory."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = {"cpu": 1 << 21, "cuda": 1 << 27}
"""Number of logits computed at once, by device: few enough for a CPU's caches, and enough to keep a GPU busy."""

MIN_TOKENS = 256
"""Smallest number of tokens in a chunk, because each chunk reads all output embeddings and updates their gradient."""

GRADIENT_ROWS = 1 << 14
"""Number of output embeddings whose gradient is computed at once in low precision and then added in float32."""


Head = Callable[[Tensor], Tensor]
"""A function from (n, D) states to (n, V) logits."""


Needed = tuple[bool, bool]
"""Whether the gradients of the states and of the output embeddings are needed; frozen ones need none."""


class Criterion(Protocol):
    """A loss of logits that is computed chunk by chunk of the tokens."""

    def __call__(self, part: slice, logits: Tensor, *, needs_gradient: bool) -> Tensor:
        """Return the loss of a chunk of n of the N tokens, summed over the tokens.

        Args:
            part: the range of the chunk among the N tokens.
            logits: (n, V) logits of the chunk, in float32 or float64; may be overwritten.
            needs_gradient: whether to overwrite `logits` with the gradient of the loss.
        """


class CrossEntropy:
    """Cross-entropy against (N,) target ids. All ids count; there is no id such as -100 for ignored tokens."""

    def __init__(self, labels: Tensor) -> None:
        self._labels = labels

    def __call__(self, part: slice, logits: Tensor, *, needs_gradient: bool) -> Tensor:
        """See `Criterion`. The gradient is the softmax minus the one-hot target."""
        targets = self._labels[part, None]
        target_logits = logits.gather(1, targets)
        numerators, total, normalizer = softmax_numerators(logits)
        if needs_gradient:
            gradient = numerators.mul_(1 / total)
            gradient.scatter_add_(1, targets, gradient.new_full((1, 1), -1.0).expand_as(targets))
        return (normalizer - target_logits).sum()


def softmax_numerators(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Overwrite (n, V) logits with the numerators of their softmax.

    Exponentials are computed once, instead of twice in `logsumexp` and in a softmax.

    Returns:
        (n, V) numerators; (n, 1) sums of the numerators, the denominators; (n, 1) logsumexp of the logits.
    """
    largest = logits.amax(1, keepdim=True)
    numerators = logits.sub_(largest).exp_()
    total = numerators.sum(1, keepdim=True)
    return numerators, total, largest + total.log()


def summed_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of `softmax(hidden @ weight.T)` against labels, in nats, summed over tokens.

    Equal to `F.cross_entropy(hidden @ weight.T, labels, reduction="sum")`; see `summed_loss`.
    """
    return summed_loss(hidden, weight, CrossEntropy(labels))


def summed_loss(hidden: Tensor, weight: Tensor, criterion: Criterion) -> Tensor:
    """Return a loss of the logits `hidden @ weight.T`, summed over tokens.

    Logits and gradients are computed one chunk of tokens at a time, so that memory is O(N D + V D) instead of O(N V).
    Under autocast, matrix products are computed in its type, and the loss in float32.

    Args:
        hidden: (N, D) states from which the tokens are predicted.
        weight: (V, D) output embeddings.
        criterion: the loss of the N tokens.

    Returns:
        A scalar in float32 (float64 for float64 states).
    """
    device = hidden.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    enabled = torch.is_grad_enabled()
    needs_gradients = enabled and hidden.requires_grad, enabled and weight.requires_grad
    summed = cast(Any, _SummedLoss).apply(hidden, weight, criterion, low, needs_gradients)  # torch leaves it untyped
    return cast(Tensor, summed)


class _SummedLoss(torch.autograd.Function):
    """Autograd function that computes the gradients of a chunk in the forward pass, while its logits are in memory."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, criterion: Criterion, low: torch.dtype, needs_gradients: Needed
    ) -> Tensor:
        total, gradients = _loss_and_gradients(hidden, weight, criterion, low, needs_gradients)
        if any(needs_gradients):
            ctx.save_for_backward(hidden, weight)
            ctx.gradients = gradients
            ctx.recompute_arguments = (criterion, low, needs_gradients)
        return total

    @staticmethod
    @once_differentiable  # gradients are constants here: second derivatives would be wrong without an error
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        gradients = ctx.gradients
        ctx.gradients = None  # scaled in place and returned, which saves a copy of the embeddings' gradient
        if gradients is None:  # a second backward pass
            hidden, weight = ctx.saved_tensors
            _, gradients = _loss_and_gradients(hidden, weight, *ctx.recompute_arguments)
        states, table = gradients
        states = None if states is None else states.mul_(gradient.to(states.dtype))
        return states, None if table is None else table.mul_(gradient), None, None, None


def _loss_and_gradients(
    hidden: Tensor, weight: Tensor, criterion: Criterion, low: torch.dtype, needs_gradients: Needed
) -> tuple[Tensor, tuple[Tensor | None, Tensor | None]]:
    """Return the summed loss, and its gradients for the states and the output embeddings; None for unneeded ones."""
    needs_states, needs_table = needs_gradients
    exact = _exact(hidden)
    total = torch.zeros((), dtype=exact, device=hidden.device)
    states = hidden.to(low)
    table = weight.to(low)
    state_gradient = torch.empty_like(hidden) if needs_states else None
    table_gradient = torch.zeros(weight.shape, dtype=exact, device=weight.device) if needs_table else None
    size = _chunk_size(hidden, len(weight))
    shape = min(size, len(hidden)), len(weight)
    products = states.new_empty(shape)  # reused by all chunks, because the system clears newly allocated memory
    exact_logits = products if low == exact else products.new_empty(shape, dtype=exact)
    with torch.autocast(hidden.device.type, enabled=False):
        for start in range(0, len(hidden), size):
            part = states[start : start + size]
            product = products[: len(part)]
            logits = exact_logits[: len(part)]
            torch.mm(part, table.T, out=product)
            if low != exact:
                logits.copy_(product)
            total += criterion(slice(start, start + size), logits, needs_gradient=any(needs_gradients))
            if low != exact and any(needs_gradients):
                product.copy_(logits)
            if table_gradient is not None:
                _add_table_gradient(table_gradient, product, part)
            if state_gradient is not None:
                state_gradient[start : start + size] = product @ table
    return total, (state_gradient, table_gradient)


def _add_table_gradient(table_gradient: Tensor, product: Tensor, part: Tensor) -> None:
    """Add the contribution of a chunk to the (V, D) gradient of the output embeddings, in place.

    Args:
        table_gradient: (V, D) gradient.
        product: (n, V) gradient of the chunk's logits.
        part: (n, D) states of the chunk.
    """
    if product.dtype == table_gradient.dtype:
        table_gradient.addmm_(product.T, part)
        return
    for ids in range(0, len(table_gradient), GRADIENT_ROWS):
        table_gradient[ids : ids + GRADIENT_ROWS] += product[:, ids : ids + GRADIENT_ROWS].T @ part


@torch.inference_mode()
def token_losses(hidden: Tensor, head: Head, labels: Tensor, *, vocab_size: int) -> Tensor:
    """Return the (N,) cross-entropy of each token, in nats, in float32 or float64, without gradients.

    Args:
        hidden: (N, D) states.
        head: the output layer.
        labels: (N,) ids of the tokens.
        vocab_size: V; it determines for how many tokens logits are computed at once.
    """
    losses = [_losses(logits, targets) for logits, targets in _logits(hidden, head, labels, vocab_size)]
    return torch.cat(losses) if losses else hidden.new_zeros(0, dtype=_exact(hidden))


@torch.inference_mode()
def token_losses_and_argmax(hidden: Tensor, head: Head, labels: Tensor, *, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Return the (N,) losses of `token_losses`, and the (N,) ids with the largest logits."""
    parts = _logits(hidden, head, labels, vocab_size)
    chunks = [(_losses(logits, targets), logits.argmax(1)) for logits, targets in parts]
    if not chunks:
        return hidden.new_zeros(0, dtype=_exact(hidden)), labels.new_zeros(0)
    losses, predictions = zip(*chunks, strict=True)
    return torch.cat(losses), torch.cat(predictions)


def _logits(hidden: Tensor, head: Head, labels: Tensor, vocab_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (n, V) logits and (n,) labels, chunk by chunk."""
    size = _chunk_size(hidden, vocab_size)
    for start in range(0, len(labels), size):
        yield head(hidden[start : start + size]).to(_exact(hidden)), labels[start : start + size]


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.logsumexp(1) - logits.gather(1, targets[:, None])[:, 0]


def _exact(hidden: Tensor) -> torch.dtype:
    return torch.promote_types(hidden.dtype, torch.float32)


def _chunk_size(hidden: Tensor, vocab_size: int) -> int:
    return max(MIN_TOKENS, CHUNK_ELEMENTS.get(hidden.device.type, CHUNK_ELEMENTS["cuda"]) // vocab_size)
