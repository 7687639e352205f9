"""Apply the layers of a GPT-2 to the concatenated tokens of many sequences, without padding."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2LMHeadModel, GPT2Model

from convmodel.generation.adapters import LayerProducts
from convmodel.generation.attention import Attend, AttentionLayer
from convmodel.generation.products import Product, apply_layer_norm, make_activation

ROWS_AT_ONCE = 256
"""Number of rows of the feed-forward layers whose intermediate results fit in a CPU's cache."""


class RaggedGPT2Layers:
    """Layers of a GPT-2 whose matrix products cover all tokens at once; only attention separates the sequences.

    The model's own modules are used, of any dtype and on any device, including replaced layers such as int8 ones.
    Gradients flow back to them. In training mode the model's dropout is applied.

    Args:
        products: functions that compute the layers, with adapters if any; by default without adapters.
    """

    def __init__(self, transformer: GPT2Model, products: LayerProducts | None = None) -> None:
        products = products or LayerProducts(transformer)
        self._splits = not products.has_adapters
        self._transformer = transformer
        config = transformer.config
        self._heads = config.n_head
        scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
        self._blocks = [
            _Block(
                block,
                products.of(block.attn.c_attn),
                products.of(block.attn.c_proj),
                products.of(block.mlp.c_fc),
                make_activation(block.mlp.act),
                products.of(block.mlp.c_proj),
                AttentionLayer(index, scale / (index + 1 if config.scale_attn_by_inverse_layer_idx else 1)),
            )
            for index, block in enumerate(cast(Iterable[Any], transformer.h))
        ]

    def __call__(
        self, ids: Tensor, types: Tensor | None, positions: Tensor, attend: Attend, *, wanted: Tensor | None = None
    ) -> Tensor:
        """Return hidden states before the last layer norm.

        Args:
            ids, types, positions: (N,) token ids, types (or None) and positions.
            attend: computes the attention of a layer.
            wanted: (W,) indices of the tokens whose states are needed; the last layer computes no others.

        Returns:
            (N, D), or (W, D) with `wanted`.
        """
        transformer = self._transformer
        words = transformer.wte.weight
        hidden = words[ids] + transformer.wpe.weight[positions]
        if types is not None:
            hidden = hidden + words[types]
        hidden = apply_dropout(transformer.drop, hidden)
        for index, block in enumerate(self._blocks):
            mixed = block.attention_in(apply_layer_norm(block.module.ln_1, hidden))
            queries, keys, values = mixed.view(len(mixed), 3, self._heads, -1).unbind(1)
            attended = attend(queries, keys, values, block.attention).flatten(1)
            if wanted is not None and index + 1 == len(self._blocks):
                attended = attended[wanted]
                hidden = hidden[wanted]
            hidden = hidden + apply_dropout(block.module.attn.resid_dropout, block.attention_out(attended))
            on_cpu = hidden.device.type == "cpu" and not torch.is_grad_enabled()
            if len(hidden) > ROWS_AT_ONCE and on_cpu and self._splits:
                hidden = torch.cat([block.inner(rows) for rows in hidden.split(ROWS_AT_ONCE)])
            else:
                hidden = block.inner(hidden)
        return hidden


@dataclass(frozen=True, slots=True)
class _Block:
    module: Any
    attention_in: Product
    attention_out: Product
    inner_in: Product
    activation: Product
    inner_out: Product
    attention: AttentionLayer

    def inner(self, hidden: Tensor) -> Tensor:
        """Return the states after the feed-forward layers."""
        inner = self.activation(self.inner_in(apply_layer_norm(self.module.ln_2, hidden)))
        return hidden + apply_dropout(self.module.mlp.dropout, self.inner_out(inner))


def apply_dropout(layer: nn.Dropout, x: Tensor) -> Tensor:
    """Apply a dropout layer; skip it outside training or at rate 0."""
    return functional.dropout(x, layer.p) if layer.training and layer.p else x


class GPT2Decoder:
    """Decoder of a GPT-2; see `decoders.Decoder`. On a CPU a row's result does not depend on the others, exactly."""

    def __init__(self, model: GPT2LMHeadModel, products: LayerProducts | None = None) -> None:
        products = products or LayerProducts(model)
        self._layers = RaggedGPT2Layers(model.transformer, products)
        self._norm = cast(nn.Module, model.transformer.ln_f)
        self._head = products.of(model.lm_head)

    def __call__(
        self, ids: Tensor, types: Tensor | None, positions: Tensor, attend: Attend, *, wanted: Tensor | None = None
    ) -> Tensor:
        hidden = self._layers(ids, types, positions, attend, wanted=wanted)
        return self._head(apply_layer_norm(self._norm, hidden)).float()
