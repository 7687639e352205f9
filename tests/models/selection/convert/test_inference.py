"""Inference without padding, against plain lines."""

import pytest
import torch

from convmodel.models.selection.convert.inference import PackedNetwork
from convmodel.models.selection.convert.network import (
    ConvertNetwork,
)
from tests.models.selection.convert.networks import plain, texts


@torch.no_grad()
@pytest.mark.parametrize(("tokens", "threads"), [(1, 1), (1_000, 1), (10, 2)])
def test_packed_texts_are_reduced_as_plain_lines_reduce_them(
    network: ConvertNetwork, tokens: int, threads: int
) -> None:
    ids, mask = texts()
    rows = [row[there.bool()].tolist() for row, there in zip(ids.flip(0), mask.flip(0), strict=True)]
    torch.set_num_threads(threads)
    found = PackedNetwork(network).reduced(rows * 2, tokens=tokens)
    assert torch.get_num_threads() == threads
    expected = torch.stack([plain(network, torch.tensor(row)) for row in rows])
    torch.testing.assert_close(found, torch.cat([expected, expected]), atol=1e-4, rtol=1e-5)
