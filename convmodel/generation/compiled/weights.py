"""Convert the weights of GPT-2 and Llama models to the form that a compiled step reads."""

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import GPT2LMHeadModel, PreTrainedModel
from transformers.activations import GELUTanh, NewGELUActivation
from transformers.pytorch_utils import Conv1D

from convmodel.generation.causal_lm import context_window
from convmodel.generation.compiled.step import GATED_SILU, GELU, LAYER, Model
from convmodel.generation.compiled.tiles import Addresses, Linear, TileMemory
from convmodel.generation.int8 import Int8Linear
from convmodel.generation.llama_layers import LLAMA_LIKE


def supports_compiled(model: PreTrainedModel) -> bool:
    """Return whether `read_model` supports a model: its architecture, activation, dtype, device and layer types."""
    if model.device.type != "cpu" or model.dtype != torch.float32:
        return False
    layers = [cast(nn.Module, model.get_output_embeddings())]
    if isinstance(model, GPT2LMHeadModel):
        for block in cast(Iterable[Any], model.transformer.h):
            layers += [block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj]
            if type(block.mlp.act) not in (NewGELUActivation, GELUTanh):
                return False
    elif type(model) in LLAMA_LIKE and model.config.hidden_act == "silu":
        for block in cast(Any, model.base_model).layers:
            attention = block.self_attn
            layers += [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
            layers += [block.mlp.gate_proj, block.mlp.up_proj, block.mlp.down_proj]
    else:
        return False
    return all(type(layer) in (Conv1D, nn.Linear, Int8Linear) for layer in layers)


def read_model(model: PreTrainedModel, memory: TileMemory) -> Model:
    """Return the parameters of a model, in fp32 or after `to_int8`, in the form that a compiled step uses."""
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
        np.array(_product(memory, head), np.int64),
        cosines,
        sines,
        np.float32(config.layer_norm_epsilon if is_gpt2 else config.rms_norm_eps),
        heads,
        groups,
        width,
        is_rms=int(not is_gpt2),
        is_int8=int(isinstance(head, Int8Linear)),
        inner_use=GELU if is_gpt2 else GATED_SILU,
    )


def _gpt2_layer(block: Any, memory: TileMemory) -> dict[str, Any]:
    attention = block.attn
    scale = attention.head_dim**-0.5 if attention.scale_attn_weights else 1.0
    return {
        "norm": memory.norm(block.ln_1),
        "mixed": _product(memory, attention.c_attn),
        "out": _product(memory, attention.c_proj),
        "inner_norm": memory.norm(block.ln_2),
        "inner_in": _product(memory, block.mlp.c_fc),
        "inner_out": _product(memory, block.mlp.c_proj),
        "scale": scale / (attention.layer_idx + 1 if attention.scale_attn_by_inverse_layer_idx else 1),
    }


def _llama_layer(block: Any, config: Any, memory: TileMemory) -> dict[str, Any]:
    attention = block.self_attn
    window = config.sliding_window if config.model_type == "mistral" else None
    return {
        "norm": memory.norm(block.input_layernorm),
        "mixed": _product(memory, attention.q_proj, attention.k_proj, attention.v_proj),
        "out": _product(memory, attention.o_proj),
        "inner_norm": memory.norm(block.post_attention_layernorm),
        "inner_in": _product(memory, block.mlp.gate_proj, block.mlp.up_proj, alternating=True),
        "inner_out": _product(memory, block.mlp.down_proj),
        "query_norm": memory.norm(attention.q_norm)[0] if hasattr(attention, "q_norm") else 0,
        "key_norm": memory.norm(attention.k_norm)[0] if hasattr(attention, "k_norm") else 0,
        "is_rotated": bool(getattr(attention, "use_rope", True)),
        "window": getattr(attention, "sliding_window", window) or 0,
        "scale": attention.scaling,
    }


def _product(memory: TileMemory, *layers: nn.Module, alternating: bool = False) -> Addresses:
    return memory.product(*map(_parts, layers), alternating=alternating)


def _parts(layer: nn.Module) -> Linear:
    """Return a layer's weights (out, in), their scales, and its bias."""
    if isinstance(layer, Int8Linear):
        return layer.parts
    weight = cast(Tensor, layer.weight)
    return (weight.t() if isinstance(layer, Conv1D) else weight), None, cast(Tensor | None, layer.bias)


def _rotation(model: PreTrainedModel, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the rotary cosines and sines (P, width / 2) of all positions; unused (1, 1) zeros for a GPT-2."""
    rotary = getattr(model.base_model, "rotary_emb", None)
    if rotary is None:
        nothing = np.zeros((1, 1), np.float32)
        return nothing, nothing
    positions = torch.arange(context_window(model.config))[None]
    cosines, sines = rotary(torch.zeros(1), positions)
    cosines, sines = (part[0, :, : width // 2].contiguous().numpy() for part in (cosines, sines))
    return cosines, sines
