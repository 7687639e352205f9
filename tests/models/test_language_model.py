"""Saving and loading of models, their decoding options and number types."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from convmodel.models.conversation_model import ConversationModel
from tests.models.helpers import FILES

pytestmark = pytest.mark.machine


def test_a_saved_model_replies_as_before(model: ConversationModel, folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == FILES
    loaded = ConversationModel.from_pretrained(folder)
    for name, values in model.hf_model.state_dict().items():
        assert torch.equal(values, loaded.hf_model.state_dict()[name]), name
    network: Any = loaded.hf_model
    assert network.lm_head.weight is network.transformer.wte.weight  # tied, as GPT-2's are
    assert not loaded.hf_model.training
    assert loaded.generation_config.to_diff_dict() == model.generation_config.to_diff_dict()
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 9}
    assert loaded.generate(["Hello"], **options) == model.generate(["Hello"], **options)


def test_transformers_loads_the_folder_by_itself(model: ConversationModel, folder: Path) -> None:
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([model.tokenizer(["Hello", "Hi"])["input_ids"]])
    with torch.no_grad():
        assert torch.equal(network(ids).logits, model.hf_model(ids).logits)
    assert tokenizer.sep_token_id == model.tokenizer.sep_token_id == network.generation_config.pad_token_id
    assert network.generation_config.eos_token_id == [model.tokenizer.sep_token_id]


def test_the_generation_config_of_a_folder_is_kept(model: ConversationModel, tmp_path: Path) -> None:
    model.generation_config.update(do_sample=False, max_new_tokens=5)
    model.save_pretrained(tmp_path / "model")
    loaded = ConversationModel.from_pretrained(tmp_path / "model")
    assert loaded.generation_config.do_sample is False and loaded.generation_config.max_new_tokens == 5
    config = GenerationConfig.from_pretrained(tmp_path / "model")
    assert config.max_new_tokens == 5


@pytest.mark.parametrize("bf16", ["0", "1"])
def test_a_16_bit_model_is_widened_on_every_cpu_unless_a_dtype_is_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bf16: str
) -> None:
    loaded = ConversationModel.from_pretrained(folder)
    loaded.hf_model.bfloat16().save_pretrained(folder)
    monkeypatch.setenv("CONVMODEL_BF16", bf16)
    assert ConversationModel.from_pretrained(folder, device="cpu").hf_model.dtype == torch.float32
    assert ConversationModel.from_pretrained(folder, device="cpu", dtype="bfloat16").hf_model.dtype == torch.bfloat16
    assert ConversationModel.from_pretrained(folder, device="cpu", dtype="float32").hf_model.dtype == torch.float32
    assert ConversationModel.from_pretrained(folder, device="cpu", dtype=torch.float64).hf_model.dtype == torch.float64


def test_an_older_generation_config_without_sampling_options_is_completed(folder: Path) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"max_length": 20, "eos_token_id": 7}))
    loaded = ConversationModel.from_pretrained(folder)
    assert loaded.generation_config.do_sample is True
    assert loaded.generation_config.max_new_tokens == 32 and loaded.generation_config.max_length is None
    assert loaded.generation_config.eos_token_id == sorted({7, loaded.tokenizer.sep_token_id})
