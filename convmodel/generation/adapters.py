"""Low-rank adapters (LoRA) of a model; several adapters share one copy of its weights. Source: arXiv:2106.09685."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from convmodel.generation.causal_lm import shallow_twin
from convmodel.generation.products import Product, linear_layer, make_joint_product, make_product


@dataclass(frozen=True, slots=True)
class LowRank:
    """Adapter of one layer, which adds `x @ down.T @ up.T` to the layer's output.

    Args:
        down: (r, in) weights.
        up: (out, r) weights, already multiplied by the adapter's scale.
    """

    down: Tensor
    up: Tensor


AdapterWeights = Mapping[str, LowRank]
"""Weights of an adapter: the low-rank product of each layer, by the layer's name in the model."""


class LayerProducts:
    """Matrix products of a model's layers; an adapter's low-rank products are added for the rows that use the adapter.

    An adapter's products are computed on segments of consecutive rows, so nothing is padded. The result of a row does
    not depend on the adapters of other rows.

    Args:
        model: the model, or the part of a model, that contains the layers.
        packed: see `products.make_product`.
        adapters: adapters on the model's device, in the dtype of the model's computations.
    """

    def __init__(self, model: nn.Module, *, packed: bool = False, adapters: Sequence[AdapterWeights] = ()) -> None:
        self._packed = packed
        self._count = len(adapters)
        self._parts: dict[nn.Module, list[LowRank | None]] = {}
        for name, module in model.named_modules() if adapters else ():
            if any(name in adapter for adapter in adapters):
                self._parts[module] = [adapter.get(name) for adapter in adapters]
        self._segments: dict[int, list[tuple[int, slice]]] = {}

    @property
    def has_adapters(self) -> bool:
        """Whether there are adapters. If so, each product must be computed for all rows of a step at once."""
        return self._count > 0

    def place_rows(self, *layouts: Iterable[tuple[int | None, int]]) -> None:
        """Set the adapter of each row of the next step.

        Args:
            layouts: one list for each number of rows that a product may have in the step. It has, for each chunk of
                consecutive rows, the index of the adapter (or None) and the number of rows.
        """
        self._segments = {}
        for layout in layouts if self.has_adapters else ():
            stop = 0
            segments: list[tuple[int, slice]] = []
            for adapter, group in groupby(layout, key=itemgetter(0)):
                start = stop
                stop += sum(count for _, count in group)
                if adapter is not None:
                    segments.append((adapter, slice(start, stop)))
            self._segments[stop] = segments

    def replaces(self, layer: nn.Module) -> bool:
        """Return whether the function that `of` returns uses an adapter or packed weights for a layer."""
        return layer in self._parts or (self._packed and type(layer) is nn.Linear)

    def of(self, *layers: nn.Module) -> Product:
        """Return a function that computes a layer, or the concatenated outputs of several layers of one input."""
        if len(layers) == 1:
            product = make_product(layers[0], packed=self._packed)
        else:
            product = make_joint_product(layers, packed=self._packed)
        if not any(layer in self._parts for layer in layers):
            return product
        absent: list[LowRank | None] = [None] * self._count
        by_adapter = zip(*(self._parts.get(layer, absent) for layer in layers), strict=True)
        return partial(self._multiply, product, [self._low_rank_product(layers, parts) for parts in by_adapter])

    def _low_rank_product(self, layers: Sequence[nn.Module], parts: Sequence[LowRank | None]) -> Product | None:
        """Return one adapter's low-rank product for all `layers` together; None if it changes none of them."""
        found = [part for part in parts if part is not None]
        if not found:
            return None
        down = torch.cat([part.down for part in found])
        blocks = [
            down.new_zeros(cast(Any, layer).out_features, 0) if part is None else part.up
            for layer, part in zip(layers, parts, strict=True)
        ]
        up = blocks[0] if len(blocks) == 1 else torch.block_diag(*blocks)
        first, second = (make_product(linear_layer(weight), packed=self._packed) for weight in (down, up))
        return lambda x: second(first(x))

    def _multiply(self, product: Product, low_rank: Sequence[Product | None], x: Tensor) -> Tensor:
        output = product(x)
        for adapter, rows in self._segments[len(x)]:
            added = low_rank[adapter]
            if added is not None:
                output[rows] += added(x[rows])
        return output


class AdaptedLayer(nn.Module):
    """Linear layer of any type, with an adapter."""

    down: Tensor
    up: Tensor

    def __init__(self, layer: nn.Module, low_rank: LowRank) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("down", low_rank.down, persistent=False)
        self.register_buffer("up", low_rank.up, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output (..., out) for inputs (..., in), with the adapter's product added."""
        output: Tensor = self.layer(x)
        return output + functional.linear(functional.linear(x, self.down), self.up)


def with_adapter(model: PreTrainedModel, adapter: AdapterWeights) -> PreTrainedModel:
    """Return a model that shares the weights of another and applies an adapter; the other model is not changed."""
    twin = shallow_twin(model)
    network = cast(nn.Module, twin)
    for name, low_rank in adapter.items():
        network.set_submodule(name, AdaptedLayer(network.get_submodule(name), low_rank))
    return twin
