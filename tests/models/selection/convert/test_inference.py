"""Inference without padding, against a loop over single texts."""

import pytest
import torch

from convmodel.models.selection.convert.inference import PackedNetwork
from convmodel.models.selection.convert.network import (
    ConvertNetwork,
)
from tests.models.selection.convert.networks import plain, texts


@torch.no_grad()
@pytest.mark.parametrize(("tokens", "threads"), [(1, 1), (1_000, 1), (10, 2)])
def test_packed_texts_have_the_states_that_a_loop_computes(network: ConvertNetwork, tokens: int, threads: int) -> None:
    ids, mask = texts()
    rows = [row[row_mask.bool()].tolist() for row, row_mask in zip(ids.flip(0), mask.flip(0), strict=True)]
    torch.set_num_threads(threads)
    reduced = PackedNetwork(network).reduced(rows * 2, tokens=tokens)
    assert torch.get_num_threads() == threads
    expected = torch.stack([plain(network, torch.tensor(row)) for row in rows])
    torch.testing.assert_close(reduced, torch.cat([expected, expected]), atol=1e-4, rtol=1e-5)
