"""The order of weights in tiles."""

import torch

from convmodel.generation.compiled.tiles import TileMemory
from convmodel.generation.compiled.vector_code import TILE


def kept(memory: TileMemory, address: int) -> torch.Tensor:
    [found] = [tensor for tensor in memory._kept if tensor.data_ptr() == address]
    return found


def test_layers_follow_each_other_and_the_last_tile_is_filled_with_zeros() -> None:
    memory, first, second = TileMemory(), torch.randn(TILE + 1, 5), torch.randn(3, 5)
    weights, scales, biases = memory.product((first, None, torch.ones(TILE + 1)), (second, None, torch.zeros(3)))
    rows = torch.cat([first, second, torch.zeros(2 * TILE - len(first) - 3, 5)])
    assert scales == 0
    assert kept(memory, weights).equal(rows.view(2, TILE, 5).transpose(1, 2))
    assert kept(memory, biases).flatten()[: TILE + 4].tolist() == [1.0] * (TILE + 1) + [0.0] * 3


def test_alternating_layers_take_turns_tile_by_tile() -> None:
    memory = TileMemory()
    gate, up = (torch.randint(-9, 9, (TILE + 2, 5), dtype=torch.int8) for _ in range(2))
    weights, scales, biases = memory.product(
        *((one, torch.ones(TILE + 2), None) for one in (gate, up)), alternating=True
    )
    tiles = kept(memory, weights)
    assert tiles.dtype == torch.int8 and tiles.shape == (4, 3, TILE, 2) and biases == 0
    values = tiles.transpose(1, 2).flatten(2)
    assert not values[..., 5:].any()  # pairs of an odd number of values
    assert values[0, :, :5].equal(gate[:TILE]) and values[1, :, :5].equal(up[:TILE])
    assert values[2, :2, :5].equal(gate[TILE:]) and values[3, :2, :5].equal(up[TILE:])
    assert kept(memory, scales).shape == (4, TILE)
