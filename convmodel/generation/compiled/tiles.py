"""Copies of weights in the order in which compiled code reads them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from convmodel.generation.compiled.vector_code import TILE

Addresses = tuple[int, ...]

Linear = tuple[Tensor, Tensor | None, Tensor | None]
"""Weights (out, in) in fp32 or int8, the scales (out,) of int8 weights, and a bias (out,)."""


class TileMemory:
    """Owner of copies of weights; their addresses stay valid as long as this object exists."""

    def __init__(self) -> None:
        self._kept: list[Tensor] = []

    def keep(self, tensor: Tensor | None) -> int:
        """Copy a tensor, as int8 if it is int8 and as fp32 otherwise, and return the copy's address; 0 for None."""
        if tensor is None:
            return 0
        dtype = torch.int8 if tensor.dtype == torch.int8 else torch.float32
        self._kept.append(tensor.detach().to(dtype).clone(memory_format=torch.contiguous_format))
        return self._kept[-1].data_ptr()

    def norm(self, module: Any) -> Addresses:
        """Copy a norm's weights and biases, and return their addresses."""
        return self.keep(module.weight), self.keep(getattr(module, "bias", None))

    def product(self, *layers: Linear, alternating: bool = False) -> Addresses:
        """Copy the weights, scales and biases of layers with the same input, and return their addresses.

        The weights are stored in tiles of TILE outputs each, (tiles, in, TILE). All tiles of a layer precede
        those of the next layer; with `alternating`, one tile of each layer follows in turn. Tiles in int8 hold pairs of
        inputs, (tiles, in / 2, TILE, 2).
        """
        return tuple(self._tiles([layer[part] for layer in layers], alternating=alternating) for part in range(3))

    def _tiles(self, parts: Sequence[Tensor | None], *, alternating: bool) -> int:
        present = [part for part in parts if part is not None]
        if not present:
            return 0
        if alternating:
            tiles = torch.stack([_divided(part) for part in present], 1).flatten(0, 1)
        else:
            tiles = _divided(torch.cat(present))
        if tiles.dtype == torch.int8:
            size = tiles.shape[2]
            tiles = functional.pad(tiles, (0, size % 2)).unflatten(2, (-1, 2))
        return self.keep(tiles.transpose(1, 2) if tiles.dim() > 2 else tiles)


def _divided(rows: Tensor) -> Tensor:
    """Return rows (O, ...) as (tiles, TILE, ...), padded with zeros."""
    padding = -len(rows) % TILE
    padded = torch.cat([rows, rows.new_zeros(padding, *rows.shape[1:])])
    return padded.view(-1, TILE, *rows.shape[1:])
