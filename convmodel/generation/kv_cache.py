"""Keys and values of the tokens that were read, of any number of sequences and layers."""

import math
import mmap

import torch
from torch import Tensor

RESERVED = 1_024
"""Number of tokens of each slot for which memory is allocated at first on a GPU; it doubles when they are too few."""


class KVCache:
    """Keys and values of the tokens read so far, for a fixed number of slots.

    A layer's memory is allocated when its first keys are written, with the number of heads, width, dtype and device of
    these keys. On a CPU the operating system provides memory page by page as slots fill. On a GPU all slots have memory
    for at least the longest sequence so far.

    Args:
        slots: number of slots. Each takes, for each of its tokens and each layer, 2 x heads x width values.
        positions: maximum number of tokens of a slot.
        device: device of the model.
    """

    def __init__(self, slots: int, positions: int, device: torch.device) -> None:
        self.slots = slots
        self.device = device
        self._limit = positions
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self.positions = positions if device.type == "cpu" else min(positions, RESERVED)
        """Number of tokens for which a slot has memory. One more position receives writes that nothing reads."""

    def layer(self, index: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cached keys and values (R, K, P, D) of a layer for R slots and P positions; allocate if needed.

        `keys` and `values` (N, K, D) are the new tokens'. They are not written, but determine shape and dtype.
        """
        if index not in self._layers:
            self._layers[index] = (self._allocate(keys), self._allocate(values))
        return self._layers[index]

    def _allocate(self, new: Tensor) -> Tensor:
        # Zeros, because masked values are multiplied by 0, and 0 times an uninitialised nan would be nan.
        _, heads, width = new.shape
        shape = (self.slots, heads, self.positions + 1, width)
        return _lazy_zeros(shape, new.dtype) if self.device.type == "cpu" else new.new_zeros(shape)

    @torch.inference_mode()
    def reserve(self, positions: int) -> None:
        """Allocate memory for at least `positions` tokens in each slot, and keep the cached tokens."""
        if positions <= self.positions:
            return
        old = self.positions
        self.positions = min(max(positions, 2 * old), self._limit)
        for index, layer in self._layers.items():
            keys, values = (self._allocate(part[0].transpose(0, 1)) for part in layer)
            for new, part in zip((keys, values), layer, strict=True):
                new[:, :, :old] = part[:, :, :old]
            self._layers[index] = (keys, values)

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of slot `source` to slot `target`."""
        for layer in self._layers.values():
            for part in layer:
                part[target, :, :length] = part[source, :, :length]


def _lazy_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return zeros whose memory the system provides when it is first written; `torch.zeros` writes all of it."""
    memory = mmap.mmap(-1, math.prod(shape) * dtype.itemsize)
    return torch.frombuffer(memory, dtype=dtype).view(shape)
