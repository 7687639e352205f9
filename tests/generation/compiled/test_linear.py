"""Products of any sizes against those of torch in fp64."""

import pytest
import torch

from convmodel.generation.compiled.linear import Product


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 6, 7, 13, 100])
@pytest.mark.parametrize(("size", "outputs"), [(1, 1), (3, 48), (64, 47), (200, 145), (577, 600)])
def test_a_product_equals_that_of_torch(size: int, outputs: int, rows: int) -> None:
    torch.manual_seed(size)
    weight, bias, x = torch.randn(outputs, size), torch.randn(outputs), torch.randn(rows, size)
    whole, scales = torch.randint(-127, 128, (outputs, size), dtype=torch.int8), torch.rand(outputs)
    for given in (bias, None):
        shift = 0 if given is None else bias.double()
        result = Product(weight, None, given)(x)
        torch.testing.assert_close(result, (x.double() @ weight.double().t() + shift).float(), atol=1e-4, rtol=1e-5)
        exact = x.double() @ (whole * scales[:, None].double()).t() + shift
        rounding = x.abs().amax(1, keepdim=True) / min(32_767, 2**31 // (127 * size)) / 2
        error = (Product(whole, scales, given)(x) - exact).abs()
        assert (error <= 1.01 * rounding * (whole.float() * scales[:, None]).abs().sum(1) + 1e-3).all()


def test_a_row_has_the_same_bits_in_any_company_and_with_any_number_of_threads() -> None:
    torch.manual_seed(0)
    product, x = Product(torch.randn(900, 300), None, torch.randn(900)), torch.randn(40, 300)
    alone = torch.cat([product(row[None]) for row in x])
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for begin, end in ((0, 40), (3, 8), (1, 40), (10, 22)):
                assert product(x[begin:end].contiguous()).equal(alone[begin:end])
    finally:
        torch.set_num_threads(before)
