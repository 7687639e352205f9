"""Read the weights of a GPT-2 or a Llama into the form in which a compiled step reads them."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import GPT2LMHeadModel, PreTrainedModel
from transformers.activations import GELUTanh, NewGELUActivation
from transformers.pytorch_utils import Conv1D

from convmodel.generation.causal_lm import context_window
from convmodel.generation.compiled.step import LAYER, Model
from convmodel.generation.compiled.vector_code import TILE
from convmodel.generation.int8 import Int8Linear
from convmodel.generation.llama_layers import LLAMA_LIKE

Addresses = tuple[int, ...]


class WeightMemory:
    """Copies of weights, whose addresses stay valid as long as this object exists."""

    def __init__(self) -> None:
        self._kept: list[Tensor] = []

    def keep(self, tensor: Tensor | None) -> int:
        """Return the address of a copy of a tensor, in its own type if that is int8, else in fp32; 0 for None."""
        if tensor is None:
            return 0
        kept = tensor.detach().to(torch.int8 if tensor.dtype == torch.int8 else torch.float32, copy=True).contiguous()
        self._kept.append(kept)
        return kept.data_ptr()

    def norm(self, module: Any) -> Addresses:
        """Return the addresses of a norm's weights and biases."""
        return self.keep(module.weight), self.keep(getattr(module, "bias", None))

    def product(self, *layers: nn.Module, alternating: bool = False) -> Addresses:
        """Return the addresses of the weights, scales and biases of layers that read the same input.

        The weights are in tiles (tiles, in, TILE), each of TILE outputs, of one layer after the other; of two layers in
        turn with `alternating`.
        """
        parts = [_parts(layer) for layer in layers]
        return tuple(self._tiles([part[which] for part in parts], alternating=alternating) for which in range(3))

    def _tiles(self, parts: Sequence[Tensor | None], *, alternating: bool) -> int:
        present = [part for part in parts if part is not None]
        if not present:
            return 0
        if alternating:
            tiles = torch.stack([_divided(part) for part in present], 1).flatten(0, 1)
        else:
            tiles = _divided(torch.cat(present))
        return self.keep(tiles.transpose(1, 2) if tiles.dim() == 3 else tiles)


def _divided(rows: Tensor) -> Tensor:
    """Return rows (O, ...) as (tiles, TILE, ...), padded with zeros."""
    padding = -len(rows) % TILE
    return torch.cat([rows, rows.new_zeros(padding, *rows.shape[1:])]).unflatten(0, (-1, TILE))


def _parts(layer: nn.Module) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the weights (out, in) of a layer, their scales and its bias."""
    if isinstance(layer, Int8Linear):
        return layer.quantized_weight()
    weight = cast(Tensor, layer.weight).detach()
    return (weight.t() if isinstance(layer, Conv1D) else weight), None, cast(Tensor | None, layer.bias)


def supports_compiled(model: PreTrainedModel) -> bool:
    """Return whether `read_model` reads a model."""
    if model.device.type != "cpu":
        return False
    if isinstance(model, GPT2LMHeadModel):
        return all(type(cast(Any, block).mlp.act) in (NewGELUActivation, GELUTanh) for block in model.transformer.h)
    return type(model) in LLAMA_LIKE and model.config.hidden_act == "silu"


def read_model(model: PreTrainedModel, memory: WeightMemory) -> Model:
    """Return a model in fp32, or `to_int8`, as a compiled step reads it."""
    is_gpt2 = isinstance(model, GPT2LMHeadModel)
    config = model.config
    inner = cast(Any, model.base_model)
    blocks = inner.h if is_gpt2 else inner.layers
    layers = np.zeros(len(blocks), LAYER)
    for index, block in enumerate(blocks):
        values = _gpt2_layer(block, memory) if is_gpt2 else _llama_layer(block, config, memory)
        for name, value in values.items():
            layers[name][index] = value
    last = inner.ln_f if is_gpt2 else inner.norm
    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    cosines, sines = _rotation(model, width)
    head = cast(nn.Module, model.get_output_embeddings())
    return Model(
        layers,
        np.array(memory.norm(last), np.int64),
        np.array(memory.product(head), np.int64),
        cosines,
        sines,
        np.float32(config.layer_norm_epsilon if is_gpt2 else config.rms_norm_eps),
        heads,
        groups,
        width,
        is_gated=int(not is_gpt2),
        is_rms=int(not is_gpt2),
        is_gelu=int(is_gpt2),
        is_int8=int(isinstance(head, Int8Linear)),
    )


def _gpt2_layer(block: Any, memory: WeightMemory) -> dict[str, Any]:
    attention = block.attn
    scale = attention.head_dim**-0.5 if attention.scale_attn_weights else 1.0
    return {
        "norm": memory.norm(block.ln_1),
        "mixed": memory.product(attention.c_attn),
        "out": memory.product(attention.c_proj),
        "inner_norm": memory.norm(block.ln_2),
        "inner_in": memory.product(block.mlp.c_fc),
        "inner_out": memory.product(block.mlp.c_proj),
        "scale": scale / (attention.layer_idx + 1 if attention.scale_attn_by_inverse_layer_idx else 1),
    }


def _llama_layer(block: Any, config: Any, memory: WeightMemory) -> dict[str, Any]:
    attention = block.self_attn
    window = config.sliding_window if config.model_type == "mistral" else None
    return {
        "norm": memory.norm(block.input_layernorm),
        "mixed": memory.product(attention.q_proj, attention.k_proj, attention.v_proj),
        "out": memory.product(attention.o_proj),
        "inner_norm": memory.norm(block.post_attention_layernorm),
        "inner_in": memory.product(block.mlp.gate_proj, block.mlp.up_proj, alternating=True),
        "inner_out": memory.product(block.mlp.down_proj),
        "query_norm": memory.norm(attention.q_norm)[0] if hasattr(attention, "q_norm") else 0,
        "key_norm": memory.norm(attention.k_norm)[0] if hasattr(attention, "k_norm") else 0,
        "is_rotated": bool(getattr(attention, "use_rope", True)),
        "window": getattr(attention, "sliding_window", window) or 0,
        "scale": attention.scaling,
    }


def _rotation(model: PreTrainedModel, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cosines and sines (P, width / 2) of all positions; of one without meaning for a GPT-2."""
    rotary = getattr(model.base_model, "rotary_emb", None)
    if rotary is None:
        nothing = np.zeros((1, 1), np.float32)
        return nothing, nothing
    positions = torch.arange(context_window(model.config))[None]
    cosines, sines = rotary(torch.zeros(1), positions)
    return tuple(part[0, :, : width // 2].contiguous().numpy() for part in (cosines, sines))  # type: ignore[return-value]
