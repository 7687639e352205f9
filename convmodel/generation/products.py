"""Functions that compute linear layers, activations and norms of a model fast."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import GELUTanh, NewGELUActivation
from transformers.pytorch_utils import Conv1D

from convmodel.generation.int8 import Int8Linear

Product = Callable[[Tensor], Tensor]
"""A function from (N, in) to (N, out)."""


def make_product(layer: nn.Module, *, packed: bool = False) -> Product:
    """Return a function that computes a layer.

    Args:
        layer: a Conv1D or Linear, whose weights may change later. Any other layer, including subclasses of these, is
            called by its own forward.
        packed: keep a second copy of fp32 weights in the memory layout that a CPU reads fastest, up to three times as
            fast for few rows. The weights must not be changed afterwards.
    """
    if type(layer) is Int8Linear:
        return layer.forward  # without the checks for hooks
    if type(layer) not in (Conv1D, nn.Linear):
        return layer
    layer = cast(Conv1D | nn.Linear, layer)
    plain = partial(_conv1d, layer) if isinstance(layer, Conv1D) else partial(_linear, layer)
    reorder = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
    weight = layer.weight.detach()
    if not packed or reorder is None or weight.device.type != "cpu" or weight.dtype != torch.float32:
        return plain
    matrix = (weight.t() if isinstance(layer, Conv1D) else weight).contiguous()
    ordered = reorder(matrix, 2)
    return partial(_packed, ordered, cast(Tensor | None, layer.bias))


def make_joint_product(layers: Sequence[nn.Module], *, packed: bool = False) -> Product:
    """Return a function that computes several layers of the same input, whose outputs (N, out) it concatenates.

    With `packed`, it is one product of concatenated copies of their weights.
    """
    if packed and all(type(layer) is nn.Linear for layer in layers):
        linear = cast(Sequence[nn.Linear], layers)
        if all(layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32 for layer in linear):
            return make_product(_join(linear), packed=True)
    products = [make_product(layer, packed=packed) for layer in layers]
    return lambda x: torch.cat([product(x) for product in products], 1)


def _join(layers: Sequence[nn.Linear]) -> nn.Linear:
    """Return a layer with the outputs of several layers, which all have biases, or none has."""
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    return linear_layer(torch.cat([layer.weight for layer in layers]), torch.cat(biases) if biases else None)


def linear_layer(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """Return a layer with frozen weights (out, in) and a frozen bias (out,)."""
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer


def _conv1d(layer: Conv1D, x: Tensor) -> Tensor:
    return torch.addmm(cast(Tensor, layer.bias), x, cast(Tensor, layer.weight))


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return functional.linear(x, layer.weight, layer.bias)


def _packed(ordered: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    output: Tensor = torch.ops.mkldnn._linear_pointwise(x, ordered, bias, "none", [], "")
    return output


def make_activation(module: nn.Module) -> Product:
    """Return the function of an activation module; for GPT-2 it is torch's fused GELU.

    transformers computes the same in seven operations.
    """
    if type(module) in (NewGELUActivation, GELUTanh):
        return partial(functional.gelu, approximate="tanh")
    return module


def apply_layer_norm(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer norm; a layer that replaces it is called by its own forward."""
    if type(layer) is not nn.LayerNorm:
        return cast(Tensor, layer(x))
    return functional.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)
