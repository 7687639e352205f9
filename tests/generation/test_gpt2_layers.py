"""The layers of a GPT-2 over concatenated tokens against transformers' own forward."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2Config, GPT2Model

from convmodel.generation import gpt2_layers as blocks
from convmodel.generation.attention import AttentionLayer
from convmodel.generation.gpt2_layers import RaggedGPT2Layers
from convmodel.generation.products import apply_layer_norm

ROWS, LENGTH, HEADS = 3, 7, 2


def transformer() -> GPT2Model:
    """A GPT-2 whose states are far apart."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 20, "n_positions": 8, "n_layer": 3, "n_head": HEADS, "n_embd": 8}
    return GPT2Model(GPT2Config(**sizes, initializer_range=0.5, attn_pdrop=0.0)).eval()


def attend(queries: Tensor, keys: Tensor, values: Tensor, layer: AttentionLayer) -> Tensor:
    """Rows of one length, side by side."""
    q, k, v = (part.view(ROWS, LENGTH, HEADS, -1).transpose(1, 2) for part in (queries, keys, values))
    result = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=layer.scale)
    return result.transpose(1, 2).flatten(0, 1)


def states(model: GPT2Model, **options: Any) -> tuple[Tensor, Tensor]:
    """Ours, (N, D), and transformers' own."""
    ids, types = torch.randint(20, (ROWS, LENGTH)), torch.randint(2, (ROWS, LENGTH))
    positions = torch.arange(LENGTH).repeat(ROWS)
    result = RaggedGPT2Layers(model)(ids.flatten(), types.flatten(), positions, attend, **options)
    expected = model(ids, token_type_ids=types).last_hidden_state.flatten(0, 1)
    return apply_layer_norm(model.ln_f, result), expected


@pytest.mark.parametrize("rows_at_once", [1, 4, 256])
def test_states_equal_those_of_transformers_also_when_only_some_are_wanted(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(blocks, "ROWS_AT_ONCE", rows_at_once)
    model, wanted = transformer(), torch.tensor([20, 3, 3, 8])
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            result, expected = states(model)
            torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
            result, expected = states(model, wanted=wanted)
            torch.testing.assert_close(result, expected[wanted], atol=1e-5, rtol=1e-5)


def test_dropout_is_applied_in_training_wherever_transformers_applies_it() -> None:
    model = transformer()
    for part in ("drop", "h.1.attn.resid_dropout", "h.2.mlp.dropout"):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        layer = model.train().get_submodule(part)
        assert isinstance(layer, torch.nn.Dropout)
        layer.p = 0.5
        torch.manual_seed(0)
        positions, ids = torch.arange(LENGTH).repeat(ROWS), torch.zeros(ROWS * LENGTH, dtype=torch.long)
        first, second = (RaggedGPT2Layers(model)(ids, ids, positions, attend) for _ in range(2))
        assert not torch.allclose(first, second), part
        model.eval()
        assert torch.equal(
            RaggedGPT2Layers(model)(ids, ids, positions, attend), RaggedGPT2Layers(model)(ids, ids, positions, attend)
        )
