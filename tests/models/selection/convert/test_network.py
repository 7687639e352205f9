"""The network of ConveRT, against each text alone, plain lines, and the mistakes that others made."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from convmodel.models.selection.convert.network import (
    Block,
    ConvertNetwork,
    EightBitEmbedding,
    Reduction,
    quick_gelu,
    scale_at,
)
from tests.models.selection.convert.networks import SMALL, encode, encode_extra, plain, texts


@torch.no_grad()
def worst(network: ConvertNetwork) -> float:
    """How far texts in a batch with padding, whatever stands there, are from plain lines at most."""
    ids, mask = texts()
    alone = torch.stack([plain(network, ids[row, : row + 1]) for row in range(8)])
    paddings = (ids, ids.masked_fill(mask == 0, 0))
    return max(float((network.reduced(each, mask) - alone).abs().amax()) for each in paddings)


def test_a_text_among_others_is_reduced_as_plain_lines_reduce_it_alone(network: ConvertNetwork) -> None:
    assert worst(network) < 1e-4


def padding_summed(monkeypatch: pytest.MonkeyPatch, network: ConvertNetwork) -> None:
    """Positions of padding go into the reduction's sum."""

    def forward(self: Reduction, hidden: Tensor, mask: Tensor) -> Tensor:
        query, key = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (self.query(hidden), self.key(hidden)))
        found = functional.scaled_dot_product_attention(
            query, key, hidden[:, None].expand(-1, self.heads, -1, -1), attn_mask=mask.bool()[:, None, None]
        )
        return found.sum(2).flatten(1) / mask.sum(1, keepdim=True).sqrt()

    monkeypatch.setattr(Reduction, "forward", forward)


def rows_masked(monkeypatch: pytest.MonkeyPatch, network: ConvertNetwork) -> None:
    """Rows of queries are masked, and columns of keys are not."""
    right = functional.scaled_dot_product_attention

    def wrong(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor) -> Tensor:
        if attn_mask.dtype == torch.bool:
            return right(query, key, value, attn_mask=attn_mask)
        there = attn_mask.isfinite().all(1)
        bias = torch.where(attn_mask.isfinite(), attn_mask, 0.0)
        return right(query, key, value, attn_mask=bias).masked_fill(~there[:, :, None], 0)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", wrong)


def one_norm_twice(monkeypatch: pytest.MonkeyPatch, network: ConvertNetwork) -> None:
    """The norm behind attention is also that behind the feed-forward layer."""

    def forward(self: Block, hidden: Tensor, mask: Tensor) -> Tensor:
        hidden = self.norm_attention(hidden + self.attention(hidden, mask))
        found: Tensor = self.norm_attention(hidden + self.inner_out(quick_gelu(self.inner_in(hidden))))
        return found

    monkeypatch.setattr(Block, "forward", forward)


def diagonal_removed(monkeypatch: pytest.MonkeyPatch, network: ConvertNetwork) -> None:
    """No token attends to itself, where there is another."""
    right = functional.scaled_dot_product_attention

    def wrong(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor) -> Tensor:
        if attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros(attn_mask.shape).masked_fill(~attn_mask, -torch.inf)
        own = torch.eye(query.shape[-2], dtype=torch.bool)
        return right(query, key, value, attn_mask=attn_mask.masked_fill(own, -1e4))

    monkeypatch.setattr(functional, "scaled_dot_product_attention", wrong)


@pytest.mark.parametrize("mistake", [padding_summed, rows_masked, one_norm_twice, diagonal_removed])
def test_each_mistake_of_others_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch, network: ConvertNetwork, mistake: Callable[[pytest.MonkeyPatch, Any], None]
) -> None:
    mistake(monkeypatch, network)
    assert worst(network) > 1e-2


def test_gradients_go_through_the_rounding_and_what_lies_outside_moves_the_range() -> None:
    table = EightBitEmbedding(3, 4)
    with torch.no_grad():
        table.range.fill_(0.5)
    upstream = torch.randn(2, 4)
    ids = torch.tensor([2, 0])
    (table(ids) * upstream).sum().backward()
    step = 0.5 / 127
    for_weights, for_range = torch.zeros(3, 4), 0.0
    weight = table.weight.detach()
    for row, number in enumerate(ids.tolist()):
        for column in range(4):
            at, gradient = float(weight[number, column]) / step, float(upstream[row, column])
            if abs(at) < 127:
                for_weights[number, column] += gradient
                for_range += gradient * (round(at) - at) / 127
            else:
                for_range += gradient * math.copysign(1, at)
    assert table.weight.grad is not None and table.range.grad is not None
    torch.testing.assert_close(table.weight.grad, for_weights)
    assert float(table.range.grad) == pytest.approx(for_range / math.sqrt(12 * 127), abs=1e-5)


def test_every_parameter_counts_both_layer_norms_of_each_block_too(network: ConvertNetwork) -> None:
    ids, mask = texts()
    loss = (
        encode_extra(network, ids, mask, *texts(1)).pow(3).sum() + encode(network, "response", ids, mask).pow(3).sum()
    )
    loss.backward()
    # A key's bias adds the same to all scores of a row, which softmax does not see.
    still = [name for name, p in network.named_parameters() if p.grad is None or float(p.grad.abs().max()) < 1e-7]
    assert all(name.endswith("key.bias") for name in still), still


@torch.no_grad()
def test_vectors_have_length_one_and_the_sides_their_own_layers(network: ConvertNetwork) -> None:
    ids, mask = texts()
    contexts, responses = (encode(network, side, ids, mask) for side in ("context", "response"))
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
    found = encode_extra(network, ids, mask, extra_ids, extra_mask)
    context, extra = network.reduced(ids, mask), network.reduced(extra_ids, extra_mask)
    torch.testing.assert_close(found[:, 0], encode(network, "context", ids, mask))
    torch.testing.assert_close(found[:, 1], network.sides["extra"](extra))
    torch.testing.assert_close(found[:, 2], network.sides["both"]((context + extra) / 2))
    assert set(ConvertNetwork(SMALL).sides) == {"context", "response"}  # without extra contexts


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
