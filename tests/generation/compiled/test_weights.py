"""Which models a compiled step reads."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from convmodel.generation.compiled.weights import supports_compiled
from convmodel.generation.int8 import to_int8
from tests.generation.architectures import make_network

TINY: dict[str, Any] = {"n_layer": 2, "n_head": 2, "n_embd": 16, "vocab_size": 20, "n_positions": 16}


@pytest.mark.parametrize("name", ["gpt2", "llama", "mistral", "qwen2", "qwen3", "smollm3"])
def test_gpt2_and_models_like_llama_are_compiled_in_fp32_and_int8(name: str) -> None:
    network = make_network(name)
    assert supports_compiled(network)
    to_int8(network)
    assert supports_compiled(network)


@pytest.mark.parametrize("name", ["gemma3", "phi3", "opt"])
def test_other_architectures_are_not(name: str) -> None:
    assert not supports_compiled(make_network(name))


def test_other_types_activations_and_replaced_layers_are_not() -> None:
    assert not supports_compiled(make_network("llama", torch.bfloat16))
    assert not supports_compiled(GPT2LMHeadModel(GPT2Config(**TINY, activation_function="relu")))
    replaced = GPT2LMHeadModel(GPT2Config(**TINY))
    assert supports_compiled(replaced)
    layer = "transformer.h.1.mlp.c_fc"
    replaced.set_submodule(layer, nn.Sequential(replaced.get_submodule(layer)))
    assert not supports_compiled(replaced)
