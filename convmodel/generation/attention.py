"""Attention of one layer, of any architecture, over the cached keys and values of many sequences."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class AttentionLayer:
    """Settings of the attention of one layer.

    Args:
        index: number of the layer, from 0.
        scale: factor of the scores (query-key products) before the softmax.
        window: largest number of tokens that a token attends to, itself included; None for all.
        soft_cap: scores s become soft_cap * tanh(s / soft_cap); None to leave them as they are.
        sinks: (H,) attention sinks: scores of an additional key without a value, per head; None without sinks.
    """

    index: int
    scale: float
    window: int | None = None
    soft_cap: float | None = None
    sinks: Tensor | None = None


Attend = Callable[[Tensor, Tensor, Tensor, AttentionLayer], Tensor]
"""A function from queries (N, H, D), keys (N, K, D) and values (N, K, D) of N tokens, and their layer, to (N, H, D)."""


def attend(queries: Tensor, keys: Tensor, values: Tensor, layer: AttentionLayer, mask: Tensor | None) -> Tensor:
    """Return the attention output (B, H, T, D) of B rows of queries (B, H, T, D).

    Args:
        queries: the number of heads H is a multiple of K; H / K successive heads attend to the same keys.
        keys, values: (B, K, L, D), or (1, K, L, D) for all rows.
        layer: the layer's settings; its window is not applied here, but by the mask or by the choice of keys.
        mask: (B, 1, T, L) or (T, L): booleans, true where a query attends to a key, or values that are added to the
            scores. None if all queries attend to all keys.
    """
    rows, heads, steps, width = queries.shape
    groups = keys.shape[1]
    if heads != groups:  # the queries of all heads that share keys are rows of one product: nothing is copied
        queries = queries.reshape(rows, groups, heads // groups * steps, width)
        if mask is not None and steps > 1:
            mask = mask.repeat(*[1] * (mask.dim() - 2), heads // groups, 1)
    if layer.soft_cap is None and layer.sinks is None:
        sdpa = functional.scaled_dot_product_attention
        keys, values = keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)
        output = sdpa(queries, keys, values, attn_mask=mask, scale=layer.scale)
    else:
        output = _attend_in_steps(queries, keys, values, layer, mask)
    return output if heads == groups else output.reshape(rows, heads, steps, -1)


def _attend_in_steps(
    queries: Tensor, keys: Tensor, values: Tensor, layer: AttentionLayer, mask: Tensor | None
) -> Tensor:
    """Compute attention with a soft cap or sinks, which torch's fused kernels do not support."""
    scores = (queries @ keys.transpose(-1, -2)).float() * layer.scale
    if layer.soft_cap is not None:
        scores = layer.soft_cap * torch.tanh(scores / layer.soft_cap)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    if layer.sinks is not None:
        groups, steps = scores.shape[1:3]
        sinks = layer.sinks.float().view(1, groups, -1, 1).repeat_interleave(steps * groups // len(layer.sinks), 2)
        scores = torch.cat([scores, sinks.expand(len(scores), -1, -1, -1)], -1)
    shares = scores.softmax(-1)[..., : keys.shape[2]]
    return shares.to(values.dtype) @ values
