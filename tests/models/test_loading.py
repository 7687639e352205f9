"""Loading of configurations and weights: whole folders, and everything that is refused in one line."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, BertConfig, BertForMaskedLM, BertModel, GPT2Config, GPT2LMHeadModel, GPT2Model

from convmodel.models.conversation_model import ConversationModel
from convmodel.models.loading import check_vocabulary, load_weights, read_model_config
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.data.test_json_file import POINTER

Change = Callable[[dict[str, Tensor]], object]
WEIGHTS = "model.safetensors"
LAYER = "transformer.h.1."
BIAS = f"{LAYER}mlp.c_fc.bias"


def change_weights(folder: Path, change: Change) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def test_a_hub_name_with_pickles_alone_is_told_how_to_convert_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read from a cache as a download makes it, which remembers that the Hub has no safetensors."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--owner--talk"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, place / "snapshots" / ("0" * 40))
    (place / "snapshots" / ("0" * 40) / WEIGHTS).rename(place / "snapshots" / ("0" * 40) / "pytorch_model.bin")
    (place / ".no_exist" / ("0" * 40)).mkdir(parents=True)
    for name in (WEIGHTS, f"{WEIGHTS}.index.json"):
        (place / ".no_exist" / ("0" * 40) / name).touch()
    with pytest.raises(ValueError, match=r"^owner/talk: .* pickles, which could run anything") as caught:
        ConversationModel.from_pretrained("owner/talk", "cpu")
    message = str(caught.value)
    assert "hf download owner/talk --local-dir talk, and then python -m convmodel convert-weights talk OUT" in message
    assert (
        "AutoModelForCausalLM.from_pretrained('owner/talk', use_safetensors=False).save_pretrained('talk'); "
        "AutoTokenizer.from_pretrained('owner/talk').save_pretrained('talk')" in message
    )
    assert "\n" not in message


def change_json(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def remove_layer(weights: dict[str, Tensor]) -> None:
    for name in [name for name in weights if name.startswith(LAYER)]:
        del weights[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            remove_layer,
            rf"lack 12 of the 29 of the 'gpt2' in config\.json: {LAYER}attn.c_attn.bias, .*, \.\.\.; random",
        ),
        (lambda weights: weights.pop(BIAS), rf"lack 1 of the 29 of the 'gpt2' in config\.json: {BIAS}; random numbers"),
        (lambda weights: weights.pop("transformer.wte.weight"), r"lack \d of the 29 .*: .*transformer\.wte\.weight"),
        (
            lambda weights: weights.update({BIAS: torch.zeros(3, 5)}),
            rf"hold {BIAS} with the shape \(3, 5\), and config",
        ),
        (lambda weights: weights[BIAS][:1].fill_(float("nan")), rf"{BIAS} holds NaN or infinity \(1 of 64 values"),
        (lambda weights: weights[BIAS][:2].fill_(float("inf")), rf"{BIAS} holds NaN or infinity \(2 of 64 values"),
        (
            lambda weights: weights.update({"transformer.h.2.mlp.c_fc.bias": torch.zeros(64)}),
            r"hold transformer\.h\.2\.mlp\.c_fc\.bias, and the 'gpt2' in config\.json has no such layer",
        ),
    ],
)
def test_weights_that_are_not_whole_are_refused(folder: Path, change: Change, message: str) -> None:
    change_weights(folder, change)
    with pytest.raises(ValueError, match=message) as error:
        ConversationModel.from_pretrained(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_fewer_layers_in_the_configuration_than_in_weights_without_a_head_are_refused(tmp_path: Path) -> None:
    GPT2Model(GPT2Config(n_layer=3, n_embd=16, n_head=2, vocab_size=8)).save_pretrained(tmp_path)
    change_json(tmp_path / "config.json", n_layer=2)
    with pytest.raises(ValueError, match=r"hold h\.2\.attn\.c_attn\.weight, and the 'gpt2' in config\.json has no"):
        load_weights(GPT2LMHeadModel, str(tmp_path), read_model_config(str(tmp_path)), dtype=torch.float32)


def test_weights_without_the_prefix_of_the_head_are_whole(tmp_path: Path) -> None:
    network = GPT2Model(GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=8))
    network.save_pretrained(tmp_path)
    loaded = load_weights(GPT2LMHeadModel, str(tmp_path), read_model_config(str(tmp_path)), dtype=torch.float32)
    assert torch.equal(loaded.get_output_embeddings().weight, network.wte.weight)


BERT = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)


def test_an_encoder_needs_no_pooler_and_another_head_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = BertForMaskedLM(BERT)
    network.save_pretrained(tmp_path)
    source = str(tmp_path)
    with caplog.at_level(logging.WARNING):
        loaded = load_weights(AutoModel, source, read_model_config(source), dtype=torch.float32, unused="pooler.")
    [message] = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{source}: 5 tensors of its weights are left out: cls.predictions.bias, ")
    assert isinstance(loaded, BertModel)
    assert torch.equal(loaded.embeddings.word_embeddings.weight, network.bert.embeddings.word_embeddings.weight)
    with pytest.raises(ValueError, match=r"lack 2 of the 39 of the 'bert' in config\.json: pooler\.dense\.bias"):
        load_weights(AutoModel, source, read_model_config(source), dtype=torch.float32)


def cut_off(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda file: file.write_text(POINTER),
            "is a pointer of Git LFS, not the file that it stands for",
        ),
        (lambda file: cut_off(file, 40), "is damaged or cut off at 40 bytes"),
        (lambda file: cut_off(file, -40), r"is damaged or cut off at [\d,]+ bytes"),
        (lambda file: file.write_bytes(b""), "is damaged or cut off at 0 bytes"),
        (lambda file: file.write_text("<!DOCTYPE html><html>"), "is damaged or cut off at 21 bytes"),
    ],
)
def test_a_damaged_file_of_weights_is_named(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder / WEIGHTS)
    with pytest.raises(ValueError, match=rf"model\.safetensors: {message}"):
        ConversationModel.from_pretrained(folder)


def test_a_sharded_model_needs_all_its_files(folder: Path) -> None:
    ConversationModel.from_pretrained(folder).hf_model.save_pretrained(folder, max_shard_size="10KB")
    (folder / WEIGHTS).unlink()
    ConversationModel.from_pretrained(folder)
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{shard.name}: is missing, and .*\.index\.json names it"):
        ConversationModel.from_pretrained(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": [')
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json:1: is not JSON"):
        ConversationModel.from_pretrained(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": []}')
    with pytest.raises(ValueError, match=r'index\.json: has no "weight_map"'):
        ConversationModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", r"config\.json: is empty"),
        ("{", r"config\.json:1: is not JSON"),
        ("[1]", r"config\.json: holds '\[1\]', not an object"),
        (POINTER, r"config\.json: is a pointer of Git LFS"),
        ("{}", r"config\.json: model_type is None, which is unknown"),
        ('{"model_type": "gpt99"}', r"config\.json: model_type is 'gpt99', which is unknown \(transformers "),
        ('{"model_type": "gpt99", "auto_map": {}}', "is 'gpt99', which needs code of that folder, which is not run"),
        ('{"model_type": "gpt2", "n_layer": "two"}', r"config\.json: .* 'n_layer' expected int, got str"),
        ('{"model_type": "gpt2", "n_layer": -1}', r"config\.json: n_layer=-1; allowed are whole numbers from 1"),
        (
            '{"model_type": "llama", "num_attention_heads": 0}',
            r"config\.json: num_attention_heads=0; allowed",
        ),
        ('{"model_type": "gpt2", "n_positions": 0}', r"config\.json: n_positions=0; allowed are whole numbers from 1"),
    ],
)
def test_a_damaged_configuration_is_named(folder: Path, contents: str, message: str) -> None:
    (folder / "config.json").write_text(contents)
    with pytest.raises(ValueError, match=message) as error:
        ConversationModel.from_pretrained(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"activation_function": "magic"}, r"what config\.json describes cannot be loaded: KeyError\('magic'\)"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "cannot be loaded: .*GPTQ.*"),
    ],
)
def test_a_configuration_that_needs_what_is_not_there_is_one_line(
    folder: Path, values: dict[str, object], message: str
) -> None:
    change_json(folder / "config.json", **values)
    with pytest.raises(ValueError, match=message) as error:
        ConversationModel.from_pretrained(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn])
def test_weights_of_other_types_than_floating_ones_are_refused(folder: Path, dtype: torch.dtype) -> None:
    change_weights(folder, lambda weights: weights.update({BIAS: weights[BIAS].to(dtype)}))
    with pytest.raises(ValueError, match=rf"hold {BIAS} as \w+; allowed are F64, F32, F16, BF16: give the model as it"):
        ConversationModel.from_pretrained(folder)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_floating_types_are_read(folder: Path, dtype: torch.dtype) -> None:
    change_weights(folder, lambda weights: weights.update({BIAS: weights[BIAS].to(dtype)}))
    loaded: Any = ConversationModel.from_pretrained(folder).hf_model
    assert loaded.dtype == torch.float32


def test_an_index_names_files_of_its_own_folder_alone(folder: Path) -> None:
    ConversationModel.from_pretrained(folder).hf_model.save_pretrained(folder, max_shard_size="10KB")
    (folder / WEIGHTS).unlink()
    change_json(folder / "model.safetensors.index.json", weight_map={BIAS: "../other/model.safetensors"})
    with pytest.raises(ValueError, match=r"names '\.\./other/model\.safetensors', which is not a file of this folder"):
        ConversationModel.from_pretrained(folder)


def test_sizes_that_do_not_fit_together_are_told(folder: Path) -> None:
    change_json(folder / "config.json", n_head=3)
    with pytest.raises(ValueError, match=r"cannot be loaded: .*divisible by num_heads"):
        ConversationModel.from_pretrained(folder)


def test_a_vocabulary_larger_than_the_embeddings_is_refused(folder: Path) -> None:
    tokenizer = ConversationTokenizer.from_pretrained(folder)
    rows = len(tokenizer)
    check_vocabulary("x", tokenizer.hf_tokenizer, rows)
    with pytest.raises(ValueError, match=rf"x: its tokenizer has {rows} tokens and its weights have rows for 30: "):
        check_vocabulary("x", tokenizer.hf_tokenizer, 30, may_be_new=True)
    (folder / "tokenizer_config.json").unlink()  # the separator's name: GPT-2's own, <|endoftext|>, takes its place
    with pytest.raises(ValueError, match=r"the embeddings of '<\|endoftext\|>' would be random numbers"):
        ConversationModel.from_pretrained(folder)


def test_an_added_separator_is_new_for_an_encoder_to_train_and_that_is_told(
    tmp_path: Path, tokenizer: ConversationTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    rows = len(tokenizer)
    tokenizer.hf_tokenizer.add_special_tokens({"sep_token": "<turn>"})
    tokenizer.save_pretrained(tmp_path)
    BertModel(BertConfig(**BERT.to_diff_dict() | {"vocab_size": rows})).save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        BiEncoder.from_encoder(tmp_path)
    assert f"{tmp_path}: new embeddings are made for the added tokens '<turn>'" in caplog.text
