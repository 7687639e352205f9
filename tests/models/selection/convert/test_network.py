"""The network of ConveRT, against loops over single texts, and known mistakes of other implementations."""

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
    """The largest difference between texts in a padded batch, with any ids as padding, and `plain`."""
    ids, mask = texts()
    alone = torch.stack([plain(network, ids[row, : row + 1]) for row in range(8)])
    paddings = (ids, ids.masked_fill(mask == 0, 0))
    return max(float((network.reduced(padded, mask) - alone).abs().amax()) for padded in paddings)


def test_a_text_in_a_padded_batch_has_the_states_that_a_loop_computes_for_it_alone(network: ConvertNetwork) -> None:
    assert worst(network) < 1e-4


def padding_summed(monkeypatch: pytest.MonkeyPatch, network: ConvertNetwork) -> None:
    """Mistake: the reduction's sum includes padding."""

    def forward(self: Reduction, hidden: Tensor, mask: Tensor) -> Tensor:
        query, key = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (self.query(hidden), self.key(hidden)))
        attended = functional.scaled_dot_product_attention(
            query, key, hidden[:, None].expand(-1, self.heads, -1, -1), attn_mask=mask.bool()[:, None, None]
        )
        return attended.sum(2).flatten(1) / mask.sum(1, keepdim=True).sqrt()

    monkeypatch.setattr(Reduction, "forward", forward)


def rows_masked(monkeypatch: pytest.MonkeyPatch, network: ConvertNetwork) -> None:
    """Mistake: the mask applies to queries instead of keys."""
    right = functional.scaled_dot_product_attention

    def wrong(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor) -> Tensor:
        if attn_mask.dtype == torch.bool:
            return right(query, key, value, attn_mask=attn_mask)
        is_token = attn_mask.isfinite().all(1)
        bias = torch.where(attn_mask.isfinite(), attn_mask, 0.0)
        return right(query, key, value, attn_mask=bias).masked_fill(~is_token[:, :, None], 0)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", wrong)


def one_norm_twice(monkeypatch: pytest.MonkeyPatch, network: ConvertNetwork) -> None:
    """Mistake: one layer norm is used after both attention and the feed-forward layer."""

    def forward(self: Block, hidden: Tensor, mask: Tensor) -> Tensor:
        hidden = self.norm_attention(hidden + self.attention(hidden, mask))
        result: Tensor = self.norm_attention(hidden + self.inner_out(quick_gelu(self.inner_in(hidden))))
        return result

    monkeypatch.setattr(Block, "forward", forward)


def diagonal_removed(monkeypatch: pytest.MonkeyPatch, network: ConvertNetwork) -> None:
    """Mistake: no token attends to itself."""
    right = functional.scaled_dot_product_attention

    def wrong(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor) -> Tensor:
        if attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros(attn_mask.shape).masked_fill(~attn_mask, -torch.inf)
        own = torch.eye(query.shape[-2], dtype=torch.bool)
        return right(query, key, value, attn_mask=attn_mask.masked_fill(own, -1e4))

    monkeypatch.setattr(functional, "scaled_dot_product_attention", wrong)


@pytest.mark.parametrize("mistake", [padding_summed, rows_masked, one_norm_twice, diagonal_removed])
def test_known_mistakes_of_other_implementations_would_be_detected(
    monkeypatch: pytest.MonkeyPatch, network: ConvertNetwork, mistake: Callable[[pytest.MonkeyPatch, Any], None]
) -> None:
    mistake(monkeypatch, network)
    assert worst(network) > 1e-2


def test_gradients_pass_through_the_rounding_and_clipped_values_move_the_range() -> None:
    table = EightBitEmbedding(3, 4)
    with torch.no_grad():
        table.range.fill_(0.5)
    upstream = torch.randn(2, 4)
    ids = torch.tensor([2, 0])
    (table(ids) * upstream).sum().backward()
    step = 0.5 / 127
    for_weights = torch.zeros(3, 4)
    for_range = 0.0
    weight = table.weight.detach()
    for row, token in enumerate(ids.tolist()):
        for column in range(4):
            steps = float(weight[token, column]) / step
            gradient = float(upstream[row, column])
            if abs(steps) < 127:
                for_weights[token, column] += gradient
                for_range += gradient * (round(steps) - steps) / 127
            else:
                for_range += gradient * math.copysign(1, steps)
    assert table.weight.grad is not None and table.range.grad is not None
    torch.testing.assert_close(table.weight.grad, for_weights)
    assert float(table.range.grad) == pytest.approx(for_range / math.sqrt(12 * 127), abs=1e-5)


def test_every_parameter_gets_a_gradient(network: ConvertNetwork) -> None:
    ids, mask = texts()
    loss = (
        encode_extra(network, ids, mask, *texts(1)).pow(3).sum() + encode(network, "response", ids, mask).pow(3).sum()
    )
    loss.backward()
    # A key's bias adds the same to all scores of a row, which softmax does not see.
    still = [name for name, p in network.named_parameters() if p.grad is None or float(p.grad.abs().max()) < 1e-7]
    assert all(name.endswith("key.bias") for name in still), still


@torch.no_grad()
def test_vectors_have_unit_length_and_each_side_has_its_own_layers(network: ConvertNetwork) -> None:
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
def test_the_extra_sides_encode_the_earlier_messages_and_the_mean(network: ConvertNetwork) -> None:
    ids, mask = texts()
    extra_ids, extra_mask = texts(1)
    vectors = encode_extra(network, ids, mask, extra_ids, extra_mask)
    context = network.reduced(ids, mask)
    extra = network.reduced(extra_ids, extra_mask)
    torch.testing.assert_close(vectors[:, 0], encode(network, "context", ids, mask))
    torch.testing.assert_close(vectors[:, 1], network.sides["extra"](extra))
    torch.testing.assert_close(vectors[:, 2], network.sides["both"]((context + extra) / 2))
    assert set(ConvertNetwork(SMALL).sides) == {"context", "response"}  # without extra contexts


def test_the_default_sizes_have_as_many_parameters_as_the_paper() -> None:
    with torch.device("meta"):
        network = ConvertNetwork()
    count = sum(parameter.numel() for parameter in network.parameters())
    embeddings = network.embeddings.words.weight.numel()
    assert round(count / 1e6, 1) == 37.5
    assert (embeddings + 2 * (count - embeddings)) / 1e6 == pytest.approx(58.4, abs=0.1)


def test_the_factor_of_the_cosine_grows_to_the_square_root_of_the_width() -> None:
    assert [scale_at(0), scale_at(10_000), scale_at(10**6)] == [1, math.sqrt(512), math.sqrt(512)]
    assert scale_at(5_000) == pytest.approx((1 + math.sqrt(512)) / 2)
