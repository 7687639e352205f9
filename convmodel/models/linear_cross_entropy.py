"""Chunked linear cross-entropy: the loss of an output layer without holding all logits in memory."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = {"cpu": 1 << 21, "cuda": 1 << 27}
"""Number of logits held at once: few enough for a CPU's caches, and enough to keep a GPU busy."""

MIN_TOKENS = 256
"""Smallest number of tokens in a chunk, because each chunk reads the whole table and updates its whole gradient."""

GRADIENT_ROWS = 1 << 14
"""Number of table rows whose gradient is computed at once in low precision, before it is accumulated in float32."""


Head = Callable[[Tensor], Tensor]
"""A function from (n, D) states to (n, V) logits."""


Needed = tuple[bool, bool]
"""Whether the gradients of states and of the table are needed; those of frozen weights are not computed."""


class Criterion(Protocol):
    """A loss of logits that is computed one chunk of tokens at a time."""

    def __call__(self, part: slice, logits: Tensor, *, needs_gradient: bool) -> Tensor:
        """Return the summed loss of a chunk of the N tokens.

        Args:
            part: the positions of the chunk among the N tokens.
            logits: (n, V) logits of the chunk, in fp32 or fp64; overwritten with their gradient if it is needed.
            needs_gradient: whether to overwrite `logits` with the gradient of the loss.
        """


class CrossEntropy:
    """Cross-entropy against (N,) target ids, none of which is ignored."""

    def __init__(self, labels: Tensor) -> None:
        self._labels = labels

    def __call__(self, part: slice, logits: Tensor, *, needs_gradient: bool) -> Tensor:
        """See `Criterion`; the gradient is softmax - onehot."""
        targets = self._labels[part, None]
        target_logits = logits.gather(1, targets)
        numerators, total, normalizer = softmax_numerators(logits)
        if needs_gradient:
            gradient = numerators.mul_(1 / total)
            gradient.scatter_add_(1, targets, gradient.new_full((1, 1), -1.0).expand_as(targets))
        return (normalizer - target_logits).sum()


def softmax_numerators(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Overwrite (n, V) logits with the numerators of their softmax.

    This takes one pass of exponentials instead of the two of `logsumexp` and a softmax.

    Returns:
        (n, V) the numerators; (n, 1) their sum, the softmax's denominator; (n, 1) the logsumexp of the logits.
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

    Logits and gradients are computed one chunk of tokens at a time: memory is O(N D + V D) in place of O(N V). Under
    autocast the products are computed in its type, the loss in fp32.

    Args:
        hidden: (N, D) the states that the tokens are predicted from.
        weight: (V, D) the output embeddings.
        criterion: the loss of the N tokens.

    Returns:
        A scalar in fp32 (fp64 for fp64 states).
    """
    device = hidden.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    enabled = torch.is_grad_enabled()
    needs_gradients = enabled and hidden.requires_grad, enabled and weight.requires_grad
    summed = cast(Any, _SummedLoss).apply(hidden, weight, criterion, low, needs_gradients)  # torch leaves it untyped
    return cast(Tensor, summed)


class _SummedLoss(torch.autograd.Function):
    """Computes the gradients of a chunk in the forward pass, while its logits are in memory."""

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
    @once_differentiable  # the gradients are constants, so that a second derivative would be silently wrong
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        gradients = ctx.gradients
        ctx.gradients = None  # scaled in place below and handed over, which saves a second copy of the table's gradient
        if gradients is None:  # a second backward pass
            hidden, weight = ctx.saved_tensors
            _, gradients = _loss_and_gradients(hidden, weight, *ctx.recompute_arguments)
        states, table = gradients
        states = None if states is None else states.mul_(gradient.to(states.dtype))
        return states, None if table is None else table.mul_(gradient), None, None, None


def _loss_and_gradients(
    hidden: Tensor, weight: Tensor, criterion: Criterion, low: torch.dtype, needs_gradients: Needed
) -> tuple[Tensor, tuple[Tensor | None, Tensor | None]]:
    """Return the summed loss, and its gradients with respect to states and table where they are needed."""
    needs_states, needs_table = needs_gradients
    exact = _exact(hidden)
    total = torch.zeros((), dtype=exact, device=hidden.device)
    states = hidden.to(low)
    table = weight.to(low)
    state_gradient = torch.empty_like(hidden) if needs_states else None
    table_gradient = torch.zeros(weight.shape, dtype=exact, device=weight.device) if needs_table else None
    size = _chunk_size(hidden, len(weight))
    shape = min(size, len(hidden)), len(weight)
    products = states.new_empty(shape)  # reused by all chunks: the system would have to clear newly allocated memory
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
    """Add the gradient of a chunk of (n, D) states, whose (n, V) logits have the gradient `product`."""
    if product.dtype == table_gradient.dtype:
        table_gradient.addmm_(product.T, part)
        return
    for ids in range(0, len(table_gradient), GRADIENT_ROWS):
        table_gradient[ids : ids + GRADIENT_ROWS] += product[:, ids : ids + GRADIENT_ROWS].T @ part


@torch.inference_mode()
def token_losses(hidden: Tensor, head: Head, labels: Tensor, *, vocab_size: int) -> Tensor:
    """Return the (N,) cross-entropy of each token in nats, in fp32 or fp64, without gradients.

    Args:
        hidden: (N, D) states.
        head: the output layer.
        labels: (N,) ids of the tokens.
        vocab_size: V, which determines how many states are computed at once.
    """
    losses = [_losses(logits, targets) for logits, targets in _logits(hidden, head, labels, vocab_size)]
    return torch.cat(losses) if losses else hidden.new_zeros(0, dtype=_exact(hidden))


@torch.inference_mode()
def token_losses_and_argmax(hidden: Tensor, head: Head, labels: Tensor, *, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Return the (N,) losses of `token_losses` and the (N,) most likely ids."""
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
