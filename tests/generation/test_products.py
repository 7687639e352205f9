"""The products, activations and norms of layers against the layers' own."""

from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from convmodel.generation.int8 import Int8Linear
from convmodel.generation.products import apply_layer_norm, make_activation, make_joint_product, make_product


def layers(width: int, out: int) -> dict[str, nn.Module]:
    """Of each kind one, with random weights."""
    torch.manual_seed(width)
    convolution = Conv1D(out, width)
    nn.init.normal_(convolution.bias)
    return {
        "Conv1D": convolution,
        "Linear": nn.Linear(width, out),
        "Linear without bias": nn.Linear(width, out, bias=False),
    }


KINDS = list(layers(1, 1))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "out"), [(16, 48), (33, 7), (1, 5), (64, 320)])
@torch.inference_mode()
def test_a_product_equals_the_layers_own_for_every_number_of_rows(
    kind: str, width: int, out: int, packed: bool
) -> None:
    layer = layers(width, out)[kind]
    quick = make_product(layer, packed=packed)
    for rows in range(1, 132):
        x = torch.randn(rows, width)
        result = quick(x)
        assert result.shape == (rows, out)
        assert torch.allclose(result, layer(x), atol=1e-5, rtol=1e-5), rows


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@torch.inference_mode()
def test_rows_that_are_not_contiguous_are_multiplied_too(packed: bool) -> None:
    for layer in layers(16, 24).values():
        x = torch.randn(16, 20).t()[::2]
        assert not x.is_contiguous()
        assert torch.allclose(make_product(layer, packed=packed)(x), layer(x), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unpacked_product_sees_later_changes_of_the_weights(kind: str) -> None:
    layer = layers(8, 8)[kind]
    quick, x = make_product(layer), torch.randn(5, 8)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter))
        assert torch.allclose(quick(x), layer(x), atol=1e-5)
        layer.weight = nn.Parameter(torch.randn_like(cast(Tensor, layer.weight)))
        assert torch.allclose(quick(x), layer(x), atol=1e-5)


@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("kind", ["plain", "packed", "int8", "bfloat16"])
@torch.inference_mode()
def test_a_joint_product_has_the_outputs_of_all_its_layers(kind: str, bias: bool) -> None:
    linear = [nn.Linear(32, out, bias=bias) for out in (16, 48, 8)]
    if kind == "bfloat16":
        linear = [layer.bfloat16() for layer in linear]
    layers = [Int8Linear(layer.weight, layer.bias) for layer in linear] if kind == "int8" else linear
    joint = make_joint_product(layers, packed=kind != "plain")
    for rows in (0, 1, 7, 300):
        x = torch.randn(rows, 32, dtype=linear[0].weight.dtype)
        expected = torch.cat([layer(x) for layer in layers], 1)
        result = joint(x)
        assert result.dtype == x.dtype
        assert result.equal(expected) if kind == "int8" else torch.allclose(result, expected, atol=1e-5, rtol=1e-5)


def test_weights_that_are_not_fp32_are_multiplied_in_their_type() -> None:
    with torch.inference_mode():
        for dtype in (torch.bfloat16, torch.float64):
            for layer in layers(16, 16).values():
                layer.to(dtype)
                x = torch.randn(4, 16, dtype=dtype)
                result = make_product(layer, packed=True)(x)
                assert result.dtype == dtype and torch.allclose(result, layer(x), rtol=0.02, atol=0.02)


class Doubled(nn.Linear):
    """A layer of another library: more than its weights."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Shifted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@torch.inference_mode()
def test_replaced_layers_are_called_by_their_own_forward(packed: bool) -> None:
    changing = nn.Linear(6, 6)
    parametrize.register_parametrization(changing, "weight", Halved())
    for layer in (Doubled(6, 6), Shifted(), changing, nn.Sequential(nn.Linear(6, 6), nn.ReLU())):
        x = torch.randn(4, 6)
        assert make_product(layer, packed=packed)(x).equal(layer(x))


@pytest.mark.parametrize("name", ["gelu_new", "gelu_pytorch_tanh", "gelu", "relu", "silu"])
def test_an_activation_equals_the_modules_own(name: str) -> None:
    x = torch.cat([torch.linspace(-12, 12, 5003), torch.tensor([0.0, -0.0, 1e-30, 1e4, -1e4])]).view(4, -1)
    result = make_activation(ACT2FN[name])(x)
    assert torch.allclose(result, ACT2FN[name](x), atol=1e-6, rtol=1e-6)
    assert make_activation(Shifted())(x).equal(x + 1)


class Scaled(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        return 3 * super().forward(input)


@torch.inference_mode()
def test_a_layer_norm_equals_the_modules_own() -> None:
    x = torch.randn(5, 12)
    for layer in (nn.LayerNorm(12, eps=0.1), nn.LayerNorm(12, bias=False), Scaled(12), nn.Identity()):
        if isinstance(layer, nn.LayerNorm):
            nn.init.normal_(layer.weight)
        assert torch.allclose(apply_layer_norm(layer, x), layer(x), atol=1e-6)
