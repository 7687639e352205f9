"""The loop over the values of a tile, for every number of rows, against NumPy's sums."""

from typing import Any

import numba
import numpy as np
import pytest

from convmodel.generation.compiled.vector_code import TILE, Kind, float_of_bits, make_tile_product


@pytest.mark.parametrize("kind", ["float32", "int8"])
@pytest.mark.parametrize("rows", [1, 2, 6])
def test_sums_of_a_tile_equal_those_of_numpy(rows: int, kind: Kind) -> None:
    multiply = make_tile_product(rows, kind)

    @numba.njit
    def run(x: Any, weights: Any, size: int, sums: Any) -> None:
        multiply(x.ctypes.data, weights.ctypes.data, size, sums.ctypes.data)

    source = np.random.default_rng(rows)
    for size in (1, 5, 100):
        sums = np.full((rows + 1, TILE), 7, np.float32)
        if kind == "float32":
            x: Any = source.standard_normal((rows, size)).astype(np.float32)
            weights: Any = source.standard_normal((size, TILE)).astype(np.float32)
            expected = x @ weights
        else:
            x = source.integers(-20_000, 20_000, (rows, size, 2)).astype(np.int16)
            weights = source.integers(-127, 128, (size, TILE, 2)).astype(np.int8)
            expected = np.einsum("rsp,stp->rt", x.astype(np.int64), weights.astype(np.int64))
        run(x, weights, size, sums)
        np.testing.assert_allclose(sums[:rows], expected, atol=1e-4, rtol=1e-7)
        assert (sums[rows] == 7).all()


def test_bits_become_the_number_that_they_are() -> None:
    @numba.njit
    def convert(bits: Any) -> Any:
        return float_of_bits(np.int32(bits))

    for number in (1.0, -2.5, 3e-30):
        assert convert(int(np.float32(number).view(np.int32))) == np.float32(number)
