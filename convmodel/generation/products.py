"""Compute linear layers, activations and norms of a model, each row in the same way alone and beside any others."""

import math
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

VECTOR = 32
"""Maximum number of elements per step of torch's vectorized loops on a CPU (two AVX-512 registers of float32)."""

UNDIVIDED = 6_144
"""Number of elements up to which torch computes an activation in one thread."""


def make_product(layer: nn.Module, *, packed: bool = False) -> Product:
    """Return a function that computes a layer.

    Args:
        layer: a Conv1D or Linear, whose weights may change later. Any other layer, including subclasses of these, is
            called by its own forward.
        packed: keep a second copy of fp32 weights in the memory layout that a CPU reads fastest, up to three times as
            fast for few rows. A row's product is then the same, bit for bit, alone and beside any others. The weights
            must not change any more.
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
    multiply = partial(_packed, ordered, cast(Tensor | None, layer.bias))
    # oneDNN may sum a single row in another order than several rows; then a single row is computed twice.
    probe = torch.randn(2, matrix.shape[1], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        same = torch.equal(multiply(probe[:1]), multiply(probe)[:1])
    return multiply if same else partial(_packed_twice, multiply)


def make_joint_product(layers: Sequence[nn.Module], *, packed: bool = False) -> Product:
    """Return a function that computes several layers of the same input, whose outputs (N, out) it concatenates.

    With `packed`, and for layers in int8, it is one product of concatenated copies of their weights.
    """
    if all(type(layer) is Int8Linear for layer in layers):
        return Int8Linear.joined(cast(Sequence[Int8Linear], layers)).forward
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


def _packed_twice(multiply: Product, x: Tensor) -> Tensor:
    return multiply(x) if len(x) != 1 else multiply(x.expand(2, -1))[:1]


def make_activation(module: nn.Module) -> Product:
    """Return a GPT-2's activation as a function whose rows do not depend on each other, bit for bit.

    The default one, which transformers computes in seven steps, is replaced by torch's fused GELU.
    """
    if type(module) in (NewGELUActivation, GELUTanh):
        gelu = cast(Product, partial(functional.gelu, approximate="tanh"))
        return partial(_by_rows, gelu, equally_shared=True)
    return partial(_by_rows, module, equally_shared=False)


def _by_rows(function: Product, x: Tensor, *, equally_shared: bool) -> Tensor:
    """Apply an elementwise function to (N, D).

    On a CPU, torch computes the remainder at the end of a thread's share with other instructions, whose last bit may
    differ. So that no share ends within a vector, rows are padded to whole vectors and computed in groups small enough
    for one thread, or, if torch gives all threads equal shares, in groups that make shares of whole vectors.
    """
    if x.device.type != "cpu" or torch.is_grad_enabled():
        return function(x)
    width = x.shape[1]
    whole = functional.pad(x, (0, -width % VECTOR)) if width % VECTOR else x
    if whole.numel() <= UNDIVIDED:
        return function(whole)[:, :width]
    shares = torch.get_num_threads() * VECTOR if equally_shared else 0
    shared = len(whole) - len(whole) % (shares // math.gcd(whole.shape[1], shares)) if shares else 0
    if shared == len(whole):
        return function(whole)[:, :width]
    few = whole[shared:].split(max(UNDIVIDED // whole.shape[1], 1))
    parts = [function(whole[:shared])] if shared else []
    return torch.cat([*parts, *map(function, few)])[:, :width]


def apply_layer_norm(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer norm; a layer that replaces it is called by its own forward."""
    if type(layer) is not nn.LayerNorm:
        return cast(Tensor, layer(x))
    return functional.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)
