"""Architectures and sizes of new models: their parameters, heads and errors."""

from typing import Any

import pytest
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from convmodel.models.from_scratch import FromScratch


def model_of(sizes: FromScratch) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_config(sizes.config(vocab_size=sizes.vocab_size, sep_token_id=3))
    assert isinstance(model, PreTrainedModel)
    return model


@pytest.mark.parametrize(
    ("layers", "heads", "width", "positions", "vocabulary"),
    [(1, 2, 16, 64, 300), (2, 4, 256, 256, 2048), (4, 4, 256, 512, 4096), (6, 6, 384, 512, 4096), (3, 8, 64, 128, 500)],
)
def test_a_llama_has_the_parameters_of_a_gpt2_of_the_same_sizes(
    layers: int, heads: int, width: int, positions: int, vocabulary: int
) -> None:
    sizes: dict[str, Any] = {
        "n_layer": layers,
        "n_head": heads,
        "n_embd": width,
        "n_positions": positions,
        "vocab_size": vocabulary,
    }
    gpt2, llama = (model_of(FromScratch(model_type=name, **sizes)) for name in ("gpt2", "llama"))
    assert llama.num_parameters() == pytest.approx(gpt2.num_parameters(), rel=0.02)
    assert llama.config.max_position_embeddings == gpt2.config.n_positions
    assert llama.config.vocab_size == gpt2.config.vocab_size
    assert llama.config.eos_token_id == gpt2.config.eos_token_id == 3


@pytest.mark.parametrize(("heads", "expected"), [(1, 1), (2, 1), (4, 1), (6, 2), (8, 2), (9, 3), (12, 4)])
def test_a_third_of_the_heads_have_keys_and_values(heads: int, expected: int) -> None:
    config = FromScratch(model_type="llama", n_head=heads, n_embd=heads * 4).config(vocab_size=10, sep_token_id=0)
    assert isinstance(config, LlamaConfig) and config.num_key_value_heads == expected
    given = FromScratch(model_type="llama", n_head=heads, n_embd=heads * 4, n_kv_head=heads)
    assert given.config(vocab_size=10, sep_token_id=0).num_key_value_heads == heads


def test_dropout_goes_where_the_architecture_has_it() -> None:
    options: dict[str, Any] = {"resid_pdrop": 0.1, "embd_pdrop": 0.2, "attn_pdrop": 0.3}
    gpt2, llama = (
        FromScratch(model_type=name, **options).config(vocab_size=10, sep_token_id=0) for name in ("gpt2", "llama")
    )
    assert (gpt2.resid_pdrop, gpt2.embd_pdrop, gpt2.attn_pdrop) == (0.1, 0.2, 0.3)
    assert llama.attention_dropout == 0.3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (FromScratch(n_head=3, n_embd=16), "n_head=3 does not divide n_embd=16"),
        (FromScratch(n_kv_head=2), "n_kv_head=2 is an option of a llama"),
        (FromScratch(model_type="llama", n_head=4, n_kv_head=3), "n_kv_head=3 does not divide n_head=4"),
        (FromScratch(model_type="llama", n_head=4, n_embd=12), "an odd width"),
    ],
)
def test_sizes_that_do_not_go_together_are_errors(sizes: FromScratch, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^model\.from_scratch\..*{message}"):
        sizes.check()
