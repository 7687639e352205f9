"""A small model in memory."""

from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.generation.helpers import END, POSITIONS


@pytest.fixture
def network() -> GPT2LMHeadModel:
    """A GPT-2 whose states are far apart, and whose texts end now and then."""
    torch.manual_seed(3)
    sizes: dict[str, Any] = {"vocab_size": 32, "n_positions": POSITIONS, "n_layer": 2, "n_head": 2, "n_embd": 16}
    model = GPT2LMHeadModel(GPT2Config(**sizes, initializer_range=0.6, bos_token_id=END, eos_token_id=END)).eval()
    with torch.no_grad():
        ending = model.transformer.wte.weight[END]
        model.transformer.ln_f.bias += 0.8 * ending / ending.norm()
    return model
