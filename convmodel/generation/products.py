"""Layers in, functions out that multiply rows with their weights, by the quickest way that gives the same."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

Product = Callable[[Tensor], Tensor]
"""(N, in) in, (N, out) out."""

PACKED_ROWS = range(2, 129)
"""Numbers of rows at which packed weights are quicker than the plain ones on a CPU."""


def product(layer: nn.Module, *, packed: bool = False) -> Product:
    """A function that does what a layer does.

    Args:
        layer: a Conv1D or Linear; of anything else its own forward is taken. Its weights may change later.
        packed: keeps a second copy of fp32 weights in the order in which a CPU reads them for a few rows at once, about
            twice as fast there. They must not change any more.
    """
    if not isinstance(layer, Conv1D | nn.Linear):
        return layer
    plain = partial(_conv1d, layer) if isinstance(layer, Conv1D) else partial(_linear, layer)
    reorder = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
    weight = layer.weight.detach()
    if not packed or reorder is None or weight.device.type != "cpu" or weight.dtype != torch.float32:
        return plain
    ordered = reorder((weight.t() if isinstance(layer, Conv1D) else weight).contiguous(), PACKED_ROWS.start)
    return partial(_packed, plain, ordered, cast(Tensor | None, layer.bias))


def _conv1d(layer: Conv1D, x: Tensor) -> Tensor:
    return torch.addmm(cast(Tensor, layer.bias), x, cast(Tensor, layer.weight))


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return functional.linear(x, layer.weight, layer.bias)


def _packed(plain: Product, ordered: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    if len(x) not in PACKED_ROWS:
        return plain(x)
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, ordered, bias, "none", [], "")
    return found


def activation(name: str, module: nn.Module) -> Product:
    """A GPT-2's activation; for its usual one, which transformers puts together from seven steps, torch's own."""
    if name in ("gelu_new", "gelu_pytorch_tanh"):
        return cast(Any, partial(functional.gelu, approximate="tanh"))
    return module


def normalise(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer norm."""
    if not isinstance(layer, nn.LayerNorm):
        return cast(Tensor, layer(x))
    return functional.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)
