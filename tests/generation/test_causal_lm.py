"""The parts of causal language models, against transformers' own logits."""

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    PhiConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from convmodel.generation.causal_lm import (
    LARGEST_WINDOW,
    compute_logits,
    context_window,
    embedding_rows,
    hidden_states,
    linear_head,
    reads_token_types,
)

SIZES: dict[str, Any] = {
    **{"vocab_size": 97, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "max_position_embeddings": 64},
}
CONFIGS: dict[str, PretrainedConfig] = {
    "gpt2": GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2),
    "granite": GraniteConfig(**SIZES, logits_scaling=8.0),
    "phi": PhiConfig(**SIZES),  # its head has a bias
    "gemma2": Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=0.5),
}


def make_model(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_logits_of_hidden_states_are_those_of_the_model(name: str) -> None:
    model = make_model(name)
    ids = torch.randint(97, (2, 9))
    states = hidden_states(model, ids)
    expected = model(input_ids=ids).logits
    assert torch.allclose(compute_logits(model, states), expected, atol=1e-5)
    if name == "gemma2":
        with pytest.raises(ValueError, match=r"final_logit_softcapping=0\.5 can write, but neither be trained"):
            linear_head(model, states[0])
    else:
        rows, weights = linear_head(model, states[0])
        assert torch.allclose(rows @ weights.T, expected[0], atol=1e-5)


@torch.inference_mode()
def test_types_are_read_by_gpt2_alone() -> None:
    ids = torch.randint(97, (1, 9))
    types = torch.randint(2, (1, 9))
    gpt2 = make_model("gpt2")
    assert reads_token_types(gpt2)
    assert torch.equal(compute_logits(gpt2, hidden_states(gpt2, ids, types)), gpt2(ids, token_type_ids=types).logits)
    llama = make_model("llama")
    assert not reads_token_types(llama)
    assert torch.equal(hidden_states(llama, ids, types), hidden_states(llama, ids))


def test_the_window_is_that_of_the_configuration_up_to_a_limit() -> None:
    assert [context_window(config) for config in CONFIGS.values()] == [64] * len(CONFIGS)
    assert context_window(LlamaConfig(max_position_embeddings=131_072)) == LARGEST_WINDOW
    assert embedding_rows(make_model("llama")) == 97
