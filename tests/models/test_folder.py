"""The folder: what is in it, who can load it, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, GenerationConfig

from convmodel.models.card import ModelCard
from convmodel.models.conversation_model import ConversationModel
from tests.conftest import MakeModel

pytestmark = pytest.mark.machine

FILES = {
    "README.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture
def folder(model: ConversationModel, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_what_was_saved_replies_as_before(model: ConversationModel, folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == FILES
    loaded = ConversationModel.from_pretrained(folder)
    for name, values in model.hf_model.state_dict().items():
        assert torch.equal(values, loaded.hf_model.state_dict()[name]), name
    assert loaded.hf_model.lm_head.weight is loaded.hf_model.transformer.wte.weight  # tied, as GPT-2's are
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


def test_the_folders_own_way_of_decoding_is_kept(model: ConversationModel, tmp_path: Path) -> None:
    model.generation_config.update(do_sample=False, max_new_tokens=5)
    model.save_pretrained(tmp_path / "model")
    loaded = ConversationModel.from_pretrained(tmp_path / "model")
    assert loaded.generation_config.do_sample is False and loaded.generation_config.max_new_tokens == 5
    config = GenerationConfig.from_pretrained(tmp_path / "model")
    assert config.max_new_tokens == 5


def test_the_card_is_a_hub_card_with_the_numbers_that_were_given(model: ConversationModel, tmp_path: Path) -> None:
    card = ModelCard(
        base_model="gpt2",
        data=["train: 12 conversations"],
        numbers={"validation loss": 1.23456, "steps": 1200},
        training={"learning_rate": 0.001},
        samples=[(["Hello", "Hi"], "How are you?")],
    )
    model.save_pretrained(tmp_path / "model", card=card)
    text = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(text.split("---")[1])
    assert header["base_model"] == "gpt2" and header["library_name"] == "convmodel"
    assert header["pipeline_tag"] == "text-generation" and "conversational" in header["tags"]
    for line in ("| validation loss | 1.2346 |", "| steps | 1,200 |", "| `learning_rate` | `0.001` |"):
        assert line in text
    assert "- train: 12 conversations" in text and "> **How are you?**" in text
    assert f"{model.hf_model.num_parameters():,} parameters" in text


def test_saving_over_an_older_model_replaces_all_of_it(folder: Path, make_model: MakeModel) -> None:
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"old")
    other = make_model(seed=5)
    other.save_pretrained(folder)
    assert {file.name for file in folder.iterdir()} == FILES
    loaded = ConversationModel.from_pretrained(folder)
    assert torch.equal(loaded.hf_model.transformer.wpe.weight, other.hf_model.transformer.wpe.weight)


def test_a_folder_with_anything_else_in_it_is_left_alone(model: ConversationModel, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds 'thesis.txt', which saving a model here would remove"):
        model.save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(FileExistsError, match="is a file; choose another folder"):
        model.save_pretrained(tmp_path / "thesis.txt")


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ValueError, match=r"its weights are the pickle pytorch_model.bin, which could run anything"):
        ConversationModel.from_pretrained(folder)


def test_a_folder_without_weights_or_config_is_told(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds no weights"):
        ConversationModel.from_pretrained(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no config\.json, so it is no model folder"):
        ConversationModel.from_pretrained(tmp_path / "empty")


def test_another_kind_of_model_is_told(folder: Path) -> None:
    BertConfig().save_pretrained(folder)
    with pytest.raises(ValueError, match="holds a 'bert' model; a model that writes is a GPT-2"):
        ConversationModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "no-such-model-on-the-hub"])
def test_a_name_that_leads_nowhere_is_told_in_one_line(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder") as error:
        ConversationModel.from_pretrained(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bf16", ["0", "1"])
def test_a_16_bit_model_is_widened_on_every_cpu_unless_its_type_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bf16: str
) -> None:
    loaded = ConversationModel.from_pretrained(folder)
    loaded.hf_model.bfloat16().save_pretrained(folder)
    monkeypatch.setenv("CONVMODEL_BF16", bf16)
    assert ConversationModel.from_pretrained(folder, device="cpu").hf_model.dtype == torch.float32
    assert ConversationModel.from_pretrained(folder, device="cpu", dtype="bfloat16").hf_model.dtype == torch.bfloat16
    assert ConversationModel.from_pretrained(folder, device="cpu", dtype="float32").hf_model.dtype == torch.float32
    assert ConversationModel.from_pretrained(folder, device="cpu", dtype=torch.float64).hf_model.dtype == torch.float64


def test_an_older_generation_config_that_samples_nothing_is_completed(folder: Path) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"max_length": 20, "eos_token_id": 7}))
    loaded = ConversationModel.from_pretrained(folder)
    assert loaded.generation_config.do_sample is True
    assert loaded.generation_config.max_new_tokens == 32 and loaded.generation_config.max_length is None
    assert loaded.generation_config.eos_token_id == sorted({7, loaded.tokenizer.sep_token_id})
