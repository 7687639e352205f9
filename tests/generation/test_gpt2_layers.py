"""The layers of a GPT-2 over tokens side by side, against transformers' own forward."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2Config, GPT2Model

from convmodel.generation import gpt2_layers as blocks
from convmodel.generation.gpt2_layers import RaggedGPT2Layers
from convmodel.generation.linear import apply_layer_norm

ROWS, LENGTH, HEADS = 3, 7, 2


def transformer() -> GPT2Model:
    """A GPT-2 whose states are far apart."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 20, "n_positions": 8, "n_layer": 3, "n_head": HEADS, "n_embd": 8}
    return GPT2Model(GPT2Config(**sizes, initializer_range=0.5, attn_pdrop=0.0)).eval()


def attend(mixed: Tensor, number: int, scale: float) -> Tensor:
    """Rows of one length, side by side."""
    queries, keys, values = mixed.view(ROWS, LENGTH, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    found = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=scale)
    return found.transpose(1, 2).reshape(ROWS * LENGTH, -1)


def states(model: GPT2Model, **options: Any) -> tuple[Tensor, Tensor]:
    """Ours, (N, D), and transformers' own."""
    ids, types = torch.randint(20, (ROWS, LENGTH)), torch.randint(2, (ROWS, LENGTH))
    places = torch.arange(LENGTH).repeat(ROWS)
    found = RaggedGPT2Layers(model)(ids.flatten(), types.flatten(), places, attend, **options)
    expected = model(ids, token_type_ids=types).last_hidden_state.flatten(0, 1)
    return apply_layer_norm(model.ln_f, found), expected


@pytest.mark.parametrize("rows_at_once", [1, 4, 256])
def test_states_are_those_of_transformers_and_those_asked_for_are_the_same_alone(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(blocks, "ROWS_AT_ONCE", rows_at_once)
    model, wanted = transformer(), torch.tensor([20, 3, 3, 8])
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            found, expected = states(model)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
            found, expected = states(model, wanted=wanted)
            torch.testing.assert_close(found, expected[wanted], atol=1e-5, rtol=1e-5)


def test_what_transformers_drops_in_training_is_dropped() -> None:
    model = transformer()
    for part in ("drop", "h.1.attn.resid_dropout", "h.2.mlp.dropout"):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        layer = model.train().get_submodule(part)
        assert isinstance(layer, torch.nn.Dropout)
        layer.p = 0.5
        torch.manual_seed(0)
        places, ids = torch.arange(LENGTH).repeat(ROWS), torch.zeros(ROWS * LENGTH, dtype=torch.long)
        first, second = (RaggedGPT2Layers(model)(ids, ids, places, attend) for _ in range(2))
        assert not torch.allclose(first, second), part
        model.eval()
        assert torch.equal(
            RaggedGPT2Layers(model)(ids, ids, places, attend), RaggedGPT2Layers(model)(ids, ids, places, attend)
        )
