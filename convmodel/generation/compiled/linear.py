"""Linear layer on a CPU as one compiled call that computes each row independently of the other rows."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from convmodel.generation.compiled.step import RoundedRows, compute_product, round_rows
from convmodel.generation.compiled.tiles import TileMemory

SINGLE = 200_000
"""Maximum of weights times rows for which a product is computed by a single thread."""


class Product:
    """Product of rows with a matrix of scaled weights, plus a bias.

    Args:
        weight: (out, in) weights, int8 or fp32.
        scales: (out,) scales of int8 weights; None for fp32.
        bias: (out,) bias, or None.
    """

    def __init__(self, weight: Tensor, scales: Tensor | None, bias: Tensor | None) -> None:
        self._memory = TileMemory()
        self._addresses = np.array(self._memory.product((weight, scales, bias)), np.int64)
        self._outputs, self._inputs = weight.shape

    def __call__(self, x: Tensor) -> Tensor:
        """Return (N, out) products of (N, in) contiguous fp32 rows."""
        output = torch.empty(len(x), self._outputs)
        threads = torch.get_num_threads() if x.numel() * self._outputs > SINGLE else 1
        values = x.numpy()
        rows = RoundedRows(np.empty(len(x) * (self._inputs + 1), np.int16), np.empty(len(x), np.float32))
        if self._addresses[1]:
            round_rows(0, 1, values, len(x), *rows)
        arguments = (threads, self._addresses, values, rows, output.numpy())
        helpers = [_helpers().submit(partial(compute_product, thread, *arguments)) for thread in range(1, threads)]
        compute_product(0, *arguments)
        for helper in helpers:
            helper.result()
        return output


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="product")
