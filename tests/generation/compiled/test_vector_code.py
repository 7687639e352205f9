"""The loop over the values of a tile, for every number of rows, against NumPy's sums."""

from typing import Any

import numba
import numpy as np
import pytest
from llvmlite import ir

from convmodel.generation.compiled.vector_code import FLOAT, INT8, TILE, float_of_bits, make_tile_product


@pytest.mark.parametrize(("number", "kind"), [(np.float32, FLOAT), (np.int8, INT8)])
@pytest.mark.parametrize("rows", [1, 2, 6])
def test_sums_of_a_tile_equal_those_of_numpy(rows: int, number: Any, kind: ir.Type) -> None:
    multiply = make_tile_product(rows, kind)

    @numba.njit
    def run(x: Any, weights: Any, sums: Any) -> None:
        multiply(x.ctypes.data, weights.ctypes.data, x.shape[1], sums.ctypes.data)

    source = np.random.default_rng(rows)
    for size in (1, 5, 100):
        x = source.standard_normal((rows, size)).astype(np.float32)
        weights = (20 * source.standard_normal((size, TILE))).astype(number)
        sums = np.full((rows + 1, TILE), 7, np.float32)
        run(x, weights, sums)
        np.testing.assert_allclose(sums[:rows], x @ weights.astype(np.float32), atol=1e-3)
        assert (sums[rows] == 7).all()


def test_bits_become_the_number_that_they_are() -> None:
    @numba.njit
    def convert(bits: Any) -> Any:
        return float_of_bits(np.int32(bits))

    for number in (1.0, -2.5, 3e-30):
        assert convert(int(np.float32(number).view(np.int32))) == np.float32(number)
