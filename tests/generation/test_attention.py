"""Attention of grouped heads, with soft caps and sinks, against a few plain lines for each head."""

import math

import pytest
import torch
from torch import Tensor

from convmodel.generation.attention import AttentionLayer, attend


def plain(query: Tensor, keys: Tensor, values: Tensor, layer: AttentionLayer, head: int, seen: Tensor) -> Tensor:
    """One query of one head, over the keys that it sees."""
    scores = [float(key.double() @ query.double()) * layer.scale for key in keys[seen]]
    if layer.soft_cap is not None:
        scores = [layer.soft_cap * math.tanh(score / layer.soft_cap) for score in scores]
    shares = [math.exp(score) for score in scores]
    total = sum(shares) + (0 if layer.sinks is None else math.exp(float(layer.sinks[head])))
    output = torch.zeros(values.shape[-1])
    for share, value in zip(shares, values[seen], strict=True):
        output += share / total * value
    return output


@pytest.mark.parametrize("capped", [False, True], ids=["", "soft cap"])
@pytest.mark.parametrize("sunk", [False, True], ids=["", "sinks"])
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("masked", [None, "bool", "float"])
@pytest.mark.parametrize("shared", [False, True], ids=["", "shared keys"])
def test_attention_equals_plain_lines(
    heads: int, groups: int, sunk: bool, capped: bool, masked: str | None, shared: bool
) -> None:
    torch.manual_seed(0)
    rows, steps, keys_read = 2, 3, 5
    sinks = torch.randn(heads) if sunk else None
    layer = AttentionLayer(0, 0.7, soft_cap=2.0 if capped else None, sinks=sinks)
    queries = torch.randn(rows, heads, steps, 8)
    keys, values = torch.randn(2, 1 if shared else rows, groups, keys_read, 8)
    values = values[..., :6]
    seen = torch.ones(rows, 1, steps, keys_read, dtype=torch.bool)
    if masked:
        seen = torch.rand(seen.shape) < 0.6
        seen[..., 0] = True
    mask = {None: None, "bool": seen, "float": torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)}[masked]
    result = attend(queries, keys, values, layer, mask)
    assert result.shape == (rows, heads, steps, 6)
    for row in range(rows):
        for head in range(heads):
            group = (0 if shared else row, head * groups // heads)
            for step in range(steps):
                expected = plain(queries[row, head, step], keys[group], values[group], layer, head, seen[row, 0, step])
                torch.testing.assert_close(result[row, head, step], expected, atol=1e-5, rtol=1e-5)
