"""Folders with adapters: merged into their base with peft's own logits, files of either folder, and errors."""

import json
import re
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from convmodel.errors import install_command
from convmodel.generation.causal_lm import embedding_rows
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.lora import Adapter, Lora
from convmodel.models.source import open_source
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.tokenizer_files import load_tokenizer

peft = pytest.importorskip("peft")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch.nn"),
]
"""Where peft is called directly."""


@pytest.fixture
def llama(tokenizer: ConversationTokenizer, tmp_path: Path) -> Path:
    """A folder of a llama with tied embeddings, whose embeddings suffice for the tokenizer."""
    return save_base(tmp_path / "base", tokenizer, rows=len(tokenizer))


def save_base(folder: Path, tokenizer: ConversationTokenizer, *, rows: int, size: int = 16) -> Path:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=size,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def shake(model: Any) -> None:
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)


def logits_of(model: Any) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(input_ids=torch.tensor([[5, 19, 3, 8], [1, 2, 18, 4]])).logits
    return logits


def save_adapter(folder: Path, base: Path, **options: Any) -> Tensor:
    """Save an adapter as peft does, and return the logits of the model with it."""
    settings: dict[str, Any] = {"r": 2, "lora_alpha": 4, "task_type": "CAUSAL_LM", "target_modules": ["q_proj"]}
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = peft.get_peft_model(model, peft.LoraConfig(**settings | options)).eval()
    shake(adapted)
    adapted.save_pretrained(folder)
    return logits_of(adapted)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target_modules": "all-linear", "use_rslora": True},
        {"use_dora": True},
        {"modules_to_save": ["embed_tokens"]},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"trainable_token_indices": [3, 5]},
    ],
    ids=lambda options: json.dumps(options),
)
def test_adapters_of_peft_keep_their_logits_when_merged_and_saved(
    llama: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    expected = save_adapter(tmp_path / "adapter", llama, **options)
    model = ConversationModel.from_pretrained(tmp_path / "adapter", "cpu", "float32")
    assert float((expected - logits_of(AutoModelForCausalLM.from_pretrained(llama))).abs().max()) > 1e-3
    assert torch.allclose(logits_of(model.hf_model), expected, atol=1e-4)
    assert type(model.hf_model).__name__ == "LlamaForCausalLM"
    model.save_pretrained(tmp_path / "merged")
    again = ConversationModel.from_pretrained(tmp_path / "merged", "cpu", "float32")
    assert torch.allclose(logits_of(again.hf_model), expected, atol=1e-4)
    assert not (tmp_path / "merged" / "adapter_config.json").exists()


@pytest.mark.parametrize("tied", [True, False])
def test_an_adapter_with_new_embeddings_makes_those_of_its_base_more(
    tokenizer: ConversationTokenizer, tmp_path: Path, tied: bool
) -> None:
    rows = len(tokenizer)
    base = save_base(tmp_path / "base", tokenizer, rows=rows - 2)
    config = json.loads((base / "config.json").read_text())
    network = AutoModelForCausalLM.from_pretrained(base)
    if not tied:
        config["tie_word_embeddings"] = network.config.tie_word_embeddings = False
        network.lm_head.weight = torch.nn.Parameter(network.lm_head.weight.detach() * 2)
        network.save_pretrained(base)
    trained = ConversationModel(network, tokenizer)
    adapter = Adapter(trained.hf_model, Lora(r=2), base=str(base), new_rows=range(rows - 2, rows))
    shake(trained.hf_model)
    expected = logits_of(trained.hf_model)
    trained.save_pretrained(tmp_path / "adapter", adapter=adapter)
    model = ConversationModel.from_pretrained(tmp_path / "adapter", "cpu", "float32")
    assert embedding_rows(model.hf_model) == rows
    assert torch.allclose(logits_of(model.hf_model), expected, atol=1e-4)


def test_tokens_without_embeddings_are_an_error(llama: Path, tokenizer: ConversationTokenizer, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", llama)
    small = save_base(tmp_path / "small", tokenizer, rows=len(tokenizer) - 2)
    tokenizer.save_pretrained(tmp_path / "adapter")
    with pytest.raises(ValueError, match=r"adapter: .*the adapter has none for the others.*--base"):
        ConversationModel.from_pretrained(tmp_path / "adapter", "cpu", base=small)


def test_files_come_from_the_adapter_where_they_are_there(llama: Path, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", llama)
    base = ConversationModel.from_pretrained(llama, "cpu", "float32")
    base.generation_config.max_new_tokens = 7
    base.save_pretrained(tmp_path / "own")
    model = ConversationModel.from_pretrained(tmp_path / "adapter", "cpu", base=tmp_path / "own")
    assert model.generation_config.max_new_tokens == 7
    assert model.tokenizer.layout_options.token_types is False
    base.generation_config.max_new_tokens = 5
    base.generation_config.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "document.json").write_text("{}")
    again = open_source(tmp_path / "adapter", base=tmp_path / "own")
    assert again.place_of("document.json", "conversation.json") == str(tmp_path / "adapter")
    assert again.place_of("conversation.json") == str(tmp_path / "own")
    network = again.load(again.config(), dtype=torch.bfloat16)
    assert network.generation_config is not None
    assert (network.generation_config.max_new_tokens, network.dtype) == (5, torch.bfloat16)


def test_the_tokenizer_is_read_once(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_adapter(tmp_path / "adapter", llama)
    counted = Mock(wraps=load_tokenizer)
    monkeypatch.setattr("convmodel.tokens.text_tokenizer.load_tokenizer", counted)
    ConversationModel.from_pretrained(tmp_path / "adapter", "cpu")
    counted.assert_called_once_with(str(llama))


def test_a_base_that_is_missing_or_another_is_told_with_the_remedy(
    llama: Path, tokenizer: ConversationTokenizer, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    save_adapter(adapter, llama)
    wide = save_base(tmp_path / "wide", tokenizer, rows=len(tokenizer), size=32)
    with pytest.raises(ValueError, match=r"adapter: the adapter does not fit the base model .*wide.*--base") as caught:
        ConversationModel.from_pretrained(adapter, "cpu", base=wide)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"the base model of this adapter cannot be used \(.*is the adapter itself\)"):
        ConversationModel.from_pretrained(adapter, "cpu", base=adapter)
    shutil.move(llama, tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=r"adapter: the base model .*base: no such folder.* as --base ") as gone:
        ConversationModel.from_pretrained(adapter, "cpu")
    assert "\n" not in str(gone.value)
    ConversationModel.from_pretrained(adapter, "cpu", base=tmp_path / "moved")
    with pytest.raises(ValueError, match=r"moved: holds no adapter .*leave --base"):
        ConversationModel.from_pretrained(tmp_path / "moved", "cpu", base=wide)


def test_pickles_and_other_adapters_are_refused(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = tmp_path / "adapter"
    save_adapter(adapter, llama)
    weights = adapter / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-9])
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors: is damaged or cut off"):
        open_source(adapter)
    weights.rename(adapter / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"adapter_model\.bin, which could run anything"):
        open_source(adapter)
    weights.with_suffix(".bin").unlink()
    with pytest.raises(ValueError, match=r"adapter: holds no weights \(adapter_model\.safetensors\); copy or download"):
        open_source(adapter)
    weights.write_bytes(whole)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "IA3"}))
    with pytest.raises(ValueError, match=r"adapter_config\.json: peft_type is 'IA3'; only LORA is read"):
        open_source(adapter)
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=f"merging an adapter needs peft: {re.escape(install_command('train'))}"):
        ConversationModel.from_pretrained(adapter)
