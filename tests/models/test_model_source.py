"""Sources of language models: any causal model and encoder-decoder of transformers, and no other."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, LlamaConfig, PretrainedConfig, WhisperConfig

from convmodel.models.source import open_source


def test_a_llama_is_loaded_with_its_configuration(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    saved = AutoModelForCausalLM.from_config(config)
    saved.save_pretrained(tmp_path)
    source = open_source(tmp_path)
    loaded = source.load(source.config(), dtype=torch.float32)
    assert loaded.config.model_type == "llama"
    for name, values in saved.state_dict().items():
        assert torch.equal(values, loaded.state_dict()[name]), name


@pytest.mark.parametrize("config", [BertConfig(), WhisperConfig()], ids=["bert", "whisper"])
def test_a_model_that_does_not_write_is_refused(tmp_path: Path, config: PretrainedConfig) -> None:
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ValueError, match=f"holds a '{config.model_type}' model, which does not generate text"):
        open_source(tmp_path).config()
