"""The sizes of a small network, and slow versions of its layers to compare with."""

import math
from typing import Any

import torch
from torch import Tensor

from convmodel.models.selection.convert.network import ConvertNetwork, ConvertSizes, quick_gelu

SMALL = ConvertSizes(
    vocab_size=40,
    buckets=5,
    width=8,
    projection=4,
    windows=(1, 2, 6),
    inner=16,
    layers=2,
    encoding=6,
    positions=(5, 3),
)


def texts(source: int = 0) -> tuple[Tensor, Tensor]:
    """Eight texts of 1 to 8 tokens, padded with random tokens."""
    torch.manual_seed(source)
    ids = torch.randint(0, 45, (8, 8))
    return ids, (torch.arange(8)[None] <= torch.arange(8)[:, None]).long()


def encode(network: ConvertNetwork, side: str, ids: Tensor, mask: Tensor) -> Tensor:
    """The (B, D) vectors of texts by the last layers of one side."""
    vectors: Tensor = network.sides[side](network.reduced(ids, mask))
    return vectors


def encode_extra(network: ConvertNetwork, ids: Tensor, mask: Tensor, extra_ids: Tensor, extra_mask: Tensor) -> Tensor:
    """The (B, 3, D) vectors of contexts, of their earlier messages, and of both."""
    context = network.reduced(ids, mask)
    extra = network.reduced(extra_ids, extra_mask)
    inputs = {"context": context, "extra": extra, "both": (context + extra) / 2}
    return torch.stack([network.sides[side](reduced) for side, reduced in inputs.items()], 1)


def eight_bits(table: Any, row: int) -> Tensor:
    """A row of a table after rounding to 8 bits, one of 127 steps to each side of 0."""
    step = float(table.range) / 127
    return torch.tensor([max(-127, min(127, round(float(value) / step))) * step for value in table.weight[row]])


def plain(network: Any, ids: Tensor) -> Tensor:
    """The reduced states of one text without padding, computed token by token."""
    sizes = network.sizes
    count = len(ids)
    hidden: Any = torch.stack([eight_bits(network.embeddings.words, int(token)) for token in ids])
    for table, size in zip(network.embeddings.positions, sizes.positions, strict=True):
        hidden = hidden + torch.stack([eight_bits(table, position % size) for position in range(count)])
    for block in network.blocks:
        attention = block.attention
        query, key, value = (layer(hidden) for layer in (attention.query, attention.key, attention.value))
        rows: list[Tensor] = []
        for i in range(count):
            scores = []
            for j in range(count):
                apart = max(-attention.window, min(attention.window, j - i))
                scores.append(
                    query[i] @ key[j] / math.sqrt(sizes.projection) + attention.bias[apart + attention.window]
                )
            weights = torch.stack(scores).softmax(0)
            rows.append(torch.stack([weights[j] * value[j] for j in range(count)]).sum(0))
        hidden = block.norm_attention(hidden + attention.out(torch.stack(rows)))
        hidden = block.norm_inner(hidden + block.inner_out(quick_gelu(block.inner_in(hidden))))
    total = torch.zeros(sizes.heads, sizes.width)
    for head in range(sizes.heads):
        part = slice(head * sizes.projection, (head + 1) * sizes.projection)
        query, key = (layer(hidden)[:, part] for layer in (network.reduction.query, network.reduction.key))
        for i in range(count):
            total[head] += (query[i] @ key.T / math.sqrt(sizes.projection)).softmax(0) @ hidden
    return total.flatten() / math.sqrt(count)
