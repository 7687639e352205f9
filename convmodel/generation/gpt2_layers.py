"""Tokens of many rows side by side in, their states out: the layers of a GPT-2, without a token of padding."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2Model

from convmodel.generation.linear import Product, activation, normalise, product

Attend = Callable[[Tensor, int, float], Tensor]
"""See `RaggedGPT2Layers`."""

ROWS_AT_ONCE = 256
"""So many rows of the wide feed-forward layers stay in a CPU's cache; more would go to memory and back."""


class RaggedGPT2Layers:
    """Every product over all tokens at once; only attention knows which of them belong together.

    The weights are the model's own modules: whatever type, device or replaced layer they have is used, and gradients
    come back to them.

    Args:
        transformer: whose embeddings and layers these are; where it is being trained, it drops what it would drop.
        packed: as in `products.product`.
    """

    def __init__(self, transformer: GPT2Model, *, packed: bool = False) -> None:
        self._transformer = transformer
        config = transformer.config
        scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
        self._blocks = [
            _Block(
                block,
                product(block.attn.c_attn, packed=packed),
                product(block.attn.c_proj, packed=packed),
                product(block.mlp.c_fc, packed=packed),
                activation(block.mlp.act),
                product(block.mlp.c_proj, packed=packed),
                scale / (number + 1 if config.scale_attn_by_inverse_layer_idx else 1),
            )
            for number, block in enumerate(cast(Iterable[Any], transformer.h))
        ]

    def __call__(
        self, ids: Tensor, types: Tensor | None, positions: Tensor, attend: Attend, *, wanted: Tensor | None = None
    ) -> Tensor:
        """(N,) ids, types (None: without) and positions in, (N, D) states out, before the last layer norm.

        Args:
            attend: (N, 3 D) queries, keys and values of a layer, its number and the scale of its scores in, (N, D) out.
            wanted: (W,) which tokens' states are asked for: (W, D) come out, and the last layer does no more than they
                need.
        """
        transformer = self._transformer
        words = transformer.wte.weight
        hidden = words[ids] + transformer.wpe.weight[positions]
        if types is not None:
            hidden = hidden + words[types]
        hidden = dropped(transformer.drop, hidden)
        for number, block in enumerate(self._blocks):
            mixed = block.attention_in(normalise(block.module.ln_1, hidden))
            attended = attend(mixed, number, block.scale)
            if wanted is not None and number + 1 == len(self._blocks):
                attended, hidden = attended[wanted], hidden[wanted]
            hidden = hidden + dropped(block.module.attn.resid_dropout, block.attention_out(attended))
            if len(hidden) > ROWS_AT_ONCE and hidden.device.type == "cpu" and not torch.is_grad_enabled():
                hidden = torch.cat([block.inner(piece) for piece in hidden.split(ROWS_AT_ONCE)])
            else:
                hidden = block.inner(hidden)
        return hidden


@dataclass(frozen=True, slots=True)
class _Block:
    """One layer's functions."""

    module: Any
    attention_in: Product
    attention_out: Product
    inner_in: Product
    activation: Product
    inner_out: Product
    scale: float

    def inner(self, hidden: Tensor) -> Tensor:
        """The states after the feed-forward layers."""
        inner = self.activation(self.inner_in(normalise(self.module.ln_2, hidden)))
        return hidden + dropped(self.module.mlp.dropout, self.inner_out(inner))


def dropped(layer: nn.Dropout, x: Tensor) -> Tensor:
    """A dropout; where nothing is to be dropped, at no cost."""
    return functional.dropout(x, layer.p) if layer.training and layer.p else x
