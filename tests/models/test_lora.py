"""Adapters inside models: merging, saving and loading, tied embeddings, and errors that name the option."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PretrainedConfig, PreTrainedModel

from convmodel.models.lora import Adapter, Lora, describe_parameters

pytest.importorskip("peft")

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
"""Where peft is called directly."""

NEW_ROWS = range(18, 20)
EMBEDDINGS = "model.embed_tokens.weight"


def config_of(kind: str, *, tied: bool = True) -> PretrainedConfig:
    tokens: dict[str, Any] = {"vocab_size": 20, "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": tied}
    if kind == "gpt2":
        return GPT2Config(n_positions=16, n_layer=2, n_head=2, n_embd=8, **tokens)
    return LlamaConfig(
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=16,
        **tokens,
    )


def network(kind: str, *, tied: bool = True) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config_of(kind, tied=tied))
    return model.eval()


def shake(model: PreTrainedModel) -> None:
    """Change what is trained, as steps would."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)


def logits_of(model: Any) -> Tensor:
    ids = torch.tensor([[18, 19, 3, 5], [1, 2, 18, 4]])
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids).logits
    return logits


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("trained", ["layers", "new rows", "embeddings", "output layer", "norm and new rows"])
def test_merged_saved_and_reloaded_models_have_the_logits_of_the_adapter(
    tmp_path: Path, kind: str, tied: bool, trained: str
) -> None:
    from peft import PeftModel

    saved = {
        "embeddings": ["wte" if kind == "gpt2" else "embed_tokens"],
        "output layer": ["lm_head"],
        "norm and new rows": ["ln_f" if kind == "gpt2" else "norm"],
    }.get(trained)
    model = network(kind, tied=tied)
    rows = NEW_ROWS if "new rows" in trained else range(0)
    adapter = Adapter(model, Lora(r=2, alpha=4, modules_to_save=saved), base=str(tmp_path), new_rows=rows)
    original = logits_of(network(kind, tied=tied))
    assert torch.equal(logits_of(model), original)
    shake(model)
    expected = logits_of(model)
    assert float((expected - original).abs().max()) > 1e-3
    merged = adapter.merged()
    assert type(merged) is type(network(kind))
    assert (merged.get_input_embeddings().weight is merged.get_output_embeddings().weight) == tied
    assert merged.config.tie_word_embeddings == tied
    assert torch.allclose(logits_of(merged), expected, atol=1e-5)
    assert torch.allclose(logits_of(adapter.merged(network(kind, tied=tied))), expected, atol=1e-5)
    merged.save_pretrained(tmp_path / "merged")
    assert torch.allclose(logits_of(AutoModelForCausalLM.from_pretrained(tmp_path / "merged")), expected, atol=1e-5)
    adapter.save(tmp_path / "adapter")
    assert {file.name for file in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    reloaded = PeftModel.from_pretrained(network(kind, tied=tied), str(tmp_path / "adapter")).eval()
    assert torch.allclose(logits_of(reloaded), expected, atol=1e-5)
    assert torch.equal(logits_of(model), expected)  # the model that is trained was not disturbed


def test_the_output_layer_read_outside_of_the_forward_pass_has_the_trained_rows() -> None:
    for tied in (True, False):
        model = network("llama", tied=tied)
        Adapter(model, Lora(r=2), base="base", new_rows=NEW_ROWS)
        shake(model)
        ids = torch.tensor([[18, 3, 19]])
        states = model.base_model(input_ids=ids).last_hidden_state
        assert torch.allclose(states @ model.get_output_embeddings().weight.T, model(input_ids=ids).logits, atol=1e-6)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_only_adapters_and_new_rows_are_trained(kind: str) -> None:
    model = network(kind)
    Adapter(model, Lora(r=2), base="base", new_rows=NEW_ROWS)
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert all("lora_" in name or "trainable_tokens_delta" in name for name in names)
    layers = {"gpt2": 4, "llama": 7}[kind]
    assert len(names) == 2 * 2 * layers + 1
    sizes = {
        trained: sum(p.numel() for p in model.parameters() if p.requires_grad >= trained) for trained in (True, False)
    }
    assert sizes[True] < sizes[False] < 100_000
    assert describe_parameters(model) == f"trainable {sizes[True]:,} of {sizes[False]:,} parameters"


def test_the_adapter_names_its_base(tmp_path: Path) -> None:
    Adapter(network("llama"), Lora(r=2), base="owner/name").save(tmp_path / "adapter")
    written = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert written["base_model_name_or_path"] == "owner/name"
    assert (written["r"], written["lora_alpha"], written["task_type"]) == (2, 16, "CAUSAL_LM")
    assert sorted(written["target_modules"]) == sorted(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )


def test_the_digest_is_that_of_the_base_without_added_rows() -> None:
    model, other = network("llama"), network("llama")
    with torch.no_grad():
        dict(other.named_parameters())[EMBEDDINGS][18:] += 1
    one, same = (Adapter(each, Lora(r=2), base="base", new_rows=NEW_ROWS) for each in (model, other))
    assert one.digest == same.digest
    third = network("llama")
    with torch.no_grad():
        dict(third.named_parameters())[EMBEDDINGS][17] += 1
    assert Adapter(third, Lora(r=2), base="base", new_rows=NEW_ROWS).digest != one.digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            Lora(target_modules=["q_projection"]),
            r"no linear layer 'q_projection'; its linear layers are down_proj, gate",
        ),
        (
            Lora(target_modules=["lm_head"]),
            r"target_modules: lm_head cannot have an adapter; put it in modules_to_save",
        ),
        (Lora(target_modules="embed_tokens"), r"target_modules: embed_tokens cannot have an adapter"),
        (Lora(modules_to_save=["head"]), r"modules_to_save: the model has no module 'head'; it has .*embed_tokens"),
    ],
)
def test_names_that_the_model_does_not_have_are_errors(options: Lora, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adapter(network("llama"), options, base="base")


@pytest.mark.parametrize("options", [{"r": 0}, {"alpha": 0}, {"dropout": 1.0}])
def test_values_out_of_range_are_errors_that_name_the_option(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^model\.lora\.{next(iter(options))}="):
        Lora(**options).check("base")
