"""Quantization of frozen weights under adapters to 4 bits (NF4), by bitsandbytes on a GPU. Source: arXiv:2305.14314."""

import importlib
import importlib.util
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel


def check_quantization(name: str, *, has_adapters: bool) -> None:
    """Raise ValueError if weights cannot be quantized: without adapters, a GPU with CUDA, or bitsandbytes.

    Args:
        name: the value of the option `model.quantize`.
        has_adapters: whether adapters are trained.
    """
    if not has_adapters:
        raise ValueError(
            f"model.quantize={name} freezes the weights; train adapters over them (--model.lora.r 8), or leave "
            "model.quantize out"
        )
    if not torch.cuda.is_available():
        raise ValueError(f"model.quantize={name} needs a GPU with CUDA, and this machine has none; leave it out")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(f"model.quantize={name} needs bitsandbytes: pip install bitsandbytes, or leave it out")


def quantize_layers(model: PreTrainedModel, names: set[str]) -> None:
    """Replace linear layers by layers in NF4, whose weights are quantized when they are moved to a GPU.

    Args:
        model: the model, which is changed in place.
        names: the last parts of the names of the layers, such as "q_proj".

    Raises:
        ValueError: when the model has no such `nn.Linear` layers; the layers of GPT-2 are of another class.
    """
    layers = importlib.import_module("bitsandbytes.nn")
    network = cast(nn.Module, model)
    found = {name: m for name, m in network.named_modules() if name.rpartition(".")[2] in names}
    linear = {name: module for name, module in found.items() if isinstance(module, nn.Linear)}
    if not linear:
        raise ValueError(f"model.quantize=nf4: a {model.config.model_type} has no layers that bitsandbytes quantises")
    for name, module in linear.items():
        has_bias = module.bias is not None
        sizes = module.in_features, module.out_features
        layer: Any = layers.Linear4bit(*sizes, bias=has_bias, compute_dtype=torch.bfloat16, quant_type="nf4")
        layer.weight = layers.Params4bit(module.weight.data, requires_grad=False, quant_type="nf4")
        layer.bias = module.bias
        network.set_submodule(name, layer)
    cast(Any, model).is_loaded_in_4bit = True  # peft uses this to choose the class of its layers
