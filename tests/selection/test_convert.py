"""The network of ConveRT, against each text alone, plain lines, and the mistakes that others made."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from convmodel.selection.convert_network import ConvertNetwork, ConvertSizes, quick_gelu, scale_at

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


@pytest.fixture
def network() -> ConvertNetwork:
    """A small one, whose parameters are all different from where they begin."""
    torch.manual_seed(0)
    found = ConvertNetwork(SMALL, extra_contexts=True).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return found


def texts(source: int = 0) -> tuple[Tensor, Tensor]:
    """Eight texts of 1 to 8 tokens; what stands in the padding is another token."""
    torch.manual_seed(source)
    ids = torch.randint(0, 45, (8, 8))
    return ids, (torch.arange(8)[None] <= torch.arange(8)[:, None]).long()


def plain(network: Any, ids: Tensor) -> Tensor:
    """The reduced vector of one text without padding, token by token."""
    sizes, count = network.sizes, len(ids)
    hidden: Any = network.embeddings.words.weight[ids]
    for table, size in zip(network.embeddings.positions, sizes.positions, strict=True):
        hidden = hidden + torch.stack([table.weight[place % size] for place in range(count)])
    for block in network.blocks:
        attention = block.attention
        query, key, value = attention.query(hidden), attention.key(hidden), attention.value(hidden)
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
        query, key = network.reduction.query(hidden)[:, part], network.reduction.key(hidden)[:, part]
        for i in range(count):
            total[head] += (query[i] @ key.T / math.sqrt(sizes.projection)).softmax(0) @ hidden
    return total.flatten() / math.sqrt(count)


@torch.no_grad()
def test_a_text_among_others_is_reduced_as_plain_lines_reduce_it_alone(network: ConvertNetwork) -> None:
    """Neither attention nor sum see the padding, and columns are masked, not rows."""
    ids, mask = texts()
    together = network.reduced(ids, mask)
    for row in range(8):
        torch.testing.assert_close(together[row], plain(network, ids[row, : row + 1]), atol=1e-4, rtol=1e-4)
    other = ids.clone()
    other[mask == 0] = 0
    torch.testing.assert_close(network.reduced(other, mask), together)


def test_every_parameter_counts_both_layer_norms_of_each_block_too(network: ConvertNetwork) -> None:
    ids, mask = texts()
    loss = network.encode_extra(ids, mask, *texts(1)).pow(3).sum() + network.encode_responses(ids, mask).pow(3).sum()
    loss.backward()
    # A key's bias adds the same to all scores of a row, which softmax does not see.
    still = [name for name, p in network.named_parameters() if p.grad is None or float(p.grad.abs().max()) < 1e-7]
    assert all(name.endswith("key.bias") for name in still), still


@torch.no_grad()
def test_vectors_have_length_one_and_the_sides_their_own_layers(network: ConvertNetwork) -> None:
    ids, mask = texts()
    contexts, responses = network.encode_contexts(ids, mask), network.encode_responses(ids, mask)
    torch.testing.assert_close(contexts.norm(dim=1), torch.ones(8))
    assert float((contexts - responses).abs().max()) > 0.1
    reduced = network.reduced(ids, mask)
    side: Any = network.sides["context"]
    for layer, norm in zip(side.layers, side.norms, strict=True):
        x = layer(reduced)
        reduced = norm(reduced + x / (1 + torch.exp(-1.702 * x)))
    torch.testing.assert_close(contexts, functional.normalize(side.out(reduced), dim=1))


@torch.no_grad()
def test_the_three_vectors_of_several_contexts_are_those_of_each_and_of_their_mean(network: ConvertNetwork) -> None:
    ids, mask = texts()
    extra_ids, extra_mask = texts(1)
    found = network.encode_extra(ids, mask, extra_ids, extra_mask)
    context, extra = network.reduced(ids, mask), network.reduced(extra_ids, extra_mask)
    torch.testing.assert_close(found[:, 0], network.encode_contexts(ids, mask))
    torch.testing.assert_close(found[:, 1], network.sides["extra"](extra))
    torch.testing.assert_close(found[:, 2], network.sides["both"]((context + extra) / 2))
    with pytest.raises(ValueError, match="has no extra contexts"):
        ConvertNetwork(SMALL).encode_extra(ids, mask, extra_ids, extra_mask)


def test_the_papers_sizes_come_to_its_parameters() -> None:
    with torch.device("meta"):
        network = ConvertNetwork()
    count = sum(parameter.numel() for parameter in network.parameters())
    embeddings = network.embeddings.words.weight.numel()
    assert round(count / 1e6, 1) == 37.5
    assert (embeddings + 2 * (count - embeddings)) / 1e6 == pytest.approx(58.4, abs=0.1)


def test_the_cosines_factor_grows_to_the_root_of_the_width() -> None:
    assert [scale_at(0), scale_at(10_000), scale_at(10**6)] == [1, math.sqrt(512), math.sqrt(512)]
    assert scale_at(5_000) == pytest.approx((1 + math.sqrt(512)) / 2)
