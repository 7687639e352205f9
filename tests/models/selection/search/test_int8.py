"""Products of quantized vectors."""

import pytest
import torch

from convmodel.models.selection.search.int8 import FULL, QuantizedBlock, has_fast_int8, range_row

pytestmark = pytest.mark.machine


@pytest.mark.skipif(not has_fast_int8(), reason="no 8-bit products")
@pytest.mark.parametrize("width", [2, 3, 64, 777])
def test_int8_products_are_exact(width: int) -> None:
    integers = torch.randint(-FULL, FULL + 1, (70, width)).float()
    integers[0] = FULL
    integers[1] = -FULL
    block = QuantizedBlock.of(integers / FULL)
    scales = integers.abs().amax(1) / FULL
    rows = torch.randint(-FULL, FULL + 1, (9, width)).float()
    rows[0] = FULL
    expected = rows.double() @ ((integers / scales[:, None]).round() * scales[:, None] / FULL).double().T
    torch.testing.assert_close(
        block.products(torch.cat([rows, range_row(width)])).double(), expected, rtol=1e-6, atol=1e-4
    )
