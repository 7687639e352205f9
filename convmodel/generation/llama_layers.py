"""Apply the layers of a Llama, or of a model built like one, to the concatenated tokens of many sequences."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    LlamaForCausalLM,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
    SmolLM3ForCausalLM,
)

from convmodel.generation.adapters import LayerProducts
from convmodel.generation.attention import Attend, AttentionLayer
from convmodel.generation.products import Product, make_activation

LLAMA_LIKE = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, SmolLM3ForCausalLM)
"""Models with rotary positions, RMS norms and gated feed-forward layers; they differ in biases, windows and norms."""

Rotation = tuple[Tensor, Tensor]
"""Cosines and signed sines (N, 1, D) of the positions of N tokens."""


class LlamaDecoder:
    """Decoder of one of `LLAMA_LIKE`; see `decoders.Decoder`.

    It computes the same as transformers in fewer, larger operations: one product for queries, keys and values, and one
    for both halves of the gated layer, fused norms, and a rotation that is the same in every layer.
    """

    def __init__(self, model: PreTrainedModel, products: LayerProducts | None = None) -> None:
        products = products or LayerProducts(model)
        inner = cast(Any, model.base_model)
        self._embeddings = cast(nn.Embedding, model.get_input_embeddings())
        self._rotary = inner.rotary_emb
        self._blocks = [_Block.of(block, model, products) for block in inner.layers]
        self._norm = _Norm.of(inner.norm)
        self._head = products.of(cast(nn.Module, model.get_output_embeddings()))

    def __call__(
        self, ids: Tensor, types: Tensor | None, positions: Tensor, attend: Attend, *, wanted: Tensor | None = None
    ) -> Tensor:
        """See `Decoder`.

        Raises:
            ValueError: for token types.
        """
        if types is not None:
            raise ValueError("this model reads no token types; allowed is None")
        hidden = self._embeddings(ids)
        rotation = self._rotation(hidden, positions)
        for block in self._blocks:
            is_last = block is self._blocks[-1]
            attended = block.attend(hidden, rotation, attend)
            if wanted is not None and is_last:
                attended = attended[wanted]
                hidden = hidden[wanted]
            hidden = block.inner(hidden + block.attention_out(attended))
        return self._head(self._norm(hidden)).float()

    def _rotation(self, hidden: Tensor, positions: Tensor) -> Rotation:
        """Return the rotation of tokens; the sines of the first half of the dimensions are negated."""
        cosines, sines = self._rotary(hidden, position_ids=positions[None])
        signed = sines[0, :, None].clone()
        signed[..., : signed.shape[-1] // 2].neg_()
        return cosines[0, :, None], signed


@dataclass(frozen=True, slots=True)
class _Norm:
    """An RMS norm, whose weights may change later."""

    module: Any
    eps: float

    @classmethod
    def of(cls, module: nn.Module) -> "_Norm":
        return cls(module, cast(float, module.variance_epsilon))

    def __call__(self, x: Tensor) -> Tensor:
        weight = self.module.weight
        return functional.rms_norm(x, weight.shape, weight, self.eps)


@dataclass(frozen=True, slots=True)
class _Block:
    """Functions and settings of one transformer layer.

    Args:
        head_norms: norms of queries and keys, if there are any.
        heads: numbers of heads of queries, keys and values.
        is_rotated: whether the layer has rotary positions.
    """

    attention: AttentionLayer
    norm_in: _Norm
    attention_in: Product
    head_norms: tuple[_Norm, _Norm] | None
    heads: tuple[int, int, int]
    is_rotated: bool
    attention_out: Product
    inner_norm: _Norm
    inner_in: Product
    activation: Product
    inner_out: Product

    @classmethod
    def of(cls, block: Any, model: PreTrainedModel, products: LayerProducts) -> "_Block":
        attention = block.self_attn
        mlp = block.mlp
        config = model.config
        window = config.sliding_window if isinstance(model, MistralForCausalLM) else None
        norms = (attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        return cls(
            AttentionLayer(attention.layer_idx, attention.scaling, getattr(attention, "sliding_window", window)),
            _Norm.of(block.input_layernorm),
            products.of(*projections),
            None if norms is None else (_Norm.of(norms[0]), _Norm.of(norms[1])),
            (config.num_attention_heads, config.num_key_value_heads, config.num_key_value_heads),
            bool(getattr(attention, "use_rope", True)),
            products.of(attention.o_proj),
            _Norm.of(block.post_attention_layernorm),
            products.of(mlp.gate_proj, mlp.up_proj),
            make_activation(mlp.act_fn),
            products.of(mlp.down_proj),
        )

    def attend(self, hidden: Tensor, rotation: Rotation, attend: Attend) -> Tensor:
        """Return the attention output (N, H x D) of all tokens."""
        mixed = self.attention_in(self.norm_in(hidden))
        mixed = mixed.view(len(mixed), sum(self.heads), -1)
        rotated = sum(self.heads[:2])
        turning, values = mixed[:, :rotated], mixed[:, rotated:]
        if self.head_norms is not None:
            parts = turning.split(self.heads[:2], 1)
            turning = torch.cat([norm(part) for norm, part in zip(self.head_norms, parts, strict=True)], 1)
        if self.is_rotated:
            cosines, sines = rotation
            turning = torch.addcmul(turning * cosines, turning.roll(turning.shape[-1] // 2, -1), sines)
        queries, keys = turning.split(self.heads[:2], 1)
        return attend(queries, keys, values, self.attention).flatten(1)

    def inner(self, hidden: Tensor) -> Tensor:
        """Return the states after the feed-forward layers."""
        gate, up = self.inner_in(self.inner_norm(hidden)).chunk(2, 1)
        return hidden + self.inner_out(self.activation(gate) * up)
