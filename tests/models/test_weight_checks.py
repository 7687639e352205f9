"""Checks of weights by themselves; tests/models/test_loading.py checks them in the loading of models."""

from pathlib import Path

import pytest
import torch

from convmodel.models.weight_checks import check_finite, check_shapes, check_weight_files, missing_weights


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_value_of_a_large_tensor_is_found_in_every_type(dtype: torch.dtype, value: float) -> None:
    tensor = torch.randn(300, 200).to(dtype)
    check_finite("x", [("w", tensor)])
    tensor[17, 3] = value
    with pytest.raises(ValueError, match=r"x: w holds NaN or infinity \(1 of 60,000 values"):
        check_finite("x", [("w", tensor)])


def test_large_finite_values_are_no_fault() -> None:
    check_finite("x", [("large", torch.full((4,), 3e38)), ("ids", torch.ones(2, dtype=torch.long))])
    with pytest.raises(ValueError, match=r"x: large holds NaN or infinity \(4 of 4 values as float16\)"):
        check_finite("x", [("large", torch.full((4,), 3e38).half())])


def test_the_first_missing_tensors_and_their_number_are_named() -> None:
    message = missing_weights("x", ["a", "b", "c", "d"], "9")
    assert message.startswith("x: its weights lack 4 of 9: a, b, c, ...; random numbers would take their place. Copy ")


def test_the_first_other_shape_by_name_is_told() -> None:
    check_shapes("x", [])
    with pytest.raises(ValueError, match=r"x: its weights hold a with the shape \(2,\), and y asks for \(3, 1\)"):
        check_shapes("x", [("b", (1,), (2,)), ("a", torch.Size([2]), torch.Size([3, 1]))], by="y")


def test_a_name_of_the_hub_has_no_files_to_check(tmp_path: Path) -> None:
    check_weight_files("gpt2")
    check_weight_files(str(tmp_path))
