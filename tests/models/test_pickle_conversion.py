"""Pickled weights: converted without loss, by tensors alone, or refused in one line."""

import json
import os
import pickle
import subprocess
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from convmodel.models.conversation_model import ConversationModel
from convmodel.models.pickle_conversion import convert_weights
from convmodel.models.unpickling import convert


@pytest.fixture
def pickled(model: ConversationModel, tmp_path: Path) -> Path:
    """A folder as DialoGPT's: tied weights twice, and buffers that transformers no longer has."""
    folder = tmp_path / "pickled"
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    weights = OrderedDict(model.hf_model.state_dict())
    weights["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read pickles in this process; another one needs seconds to import torch."""

    def run(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        *files, output = command[3:]
        return subprocess.CompletedProcess(command, 0, json.dumps(convert(files, output) | {"isolated": False}), "")

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.slow
def test_a_converted_folder_has_the_same_model(pickled: Path, model: ConversationModel, tmp_path: Path) -> None:
    result = convert_weights(pickled, tmp_path / "out")
    assert result.tensors == len(model.hf_model.state_dict()) + 1
    loaded = ConversationModel.from_pretrained(tmp_path / "out", "cpu", "float32")
    for name, values in model.hf_model.state_dict().items():
        assert torch.equal(values, loaded.hf_model.state_dict()[name]), name
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 5}
    assert loaded.generate(["Hello"], **options).responses == model.generate(["Hello"], **options).responses
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {"conversation.json", "tokenizer.json"}
    assert not (tmp_path / "out" / "pytorch_model.bin").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pickled"]


@pytest.mark.usefixtures("in_this_process")
def test_shards_and_half_precision_are_kept(pickled: Path, model: ConversationModel, tmp_path: Path) -> None:
    weights = {name: tensor.half() for name, tensor in model.hf_model.state_dict().items()}
    (pickled / "pytorch_model.bin").unlink()
    names = sorted(weights)
    shards = {"pytorch_model-00001.bin": names[::2], "pytorch_model-00002.bin": names[1::2]}
    for file, part in shards.items():
        torch.save({name: weights[name] for name in part}, pickled / file)
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    (pickled / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    convert_weights(pickled, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float16"
    loaded = ConversationModel.from_pretrained(tmp_path / "out", "cpu", "float32")
    for name, values in weights.items():
        assert torch.equal(values.float(), loaded.hf_model.state_dict()[name]), name
    (pickled / "pytorch_model-00002.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"pytorch_model-00002\.bin: is missing, and .*index\.json names it"):
        convert_weights(pickled, tmp_path / "other")
    index["weight_map"][names[0]] = "../secret.bin"
    (pickled / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"names .*secret.bin.*, which is not a file of this folder"):
        convert_weights(pickled, tmp_path / "other")


@pytest.mark.usefixtures("in_this_process")
def test_the_head_of_a_classifier_is_kept(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 8, "num_labels": 3}
    config = BertConfig(num_hidden_layers=1, num_attention_heads=2, **sizes)
    network = BertForSequenceClassification(config)
    network.save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "model.safetensors").unlink()
    torch.save(network.state_dict(), tmp_path / "bert" / "pytorch_model.bin")
    convert_weights(tmp_path / "bert", tmp_path / "out")
    again = BertForSequenceClassification.from_pretrained(tmp_path / "out")
    assert torch.equal(again.classifier.weight, network.classifier.weight)


class Evil:
    """An object whose pickle runs a command."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._mark}",)


@pytest.mark.slow
def test_code_is_not_run_and_nothing_is_left(pickled: Path, tmp_path: Path) -> None:
    torch.save({"weight": Evil(tmp_path / "mark")}, pickled / "pytorch_model.bin")
    with pytest.raises(
        ValueError, match=r"pytorch_model\.bin: contains code \(\w+\.system\) .* not converted"
    ) as caught:
        convert_weights(pickled, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["pickled"]
    with open(pickled / "pytorch_model.bin", "wb") as file:
        pickle.dump(Evil(tmp_path / "mark"), file)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: "):
        convert_weights(pickled, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["pickled"]


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", r"pytorch_model\.bin: cannot be read as weights"),
        (b"PK\x03\x04 cut off", r"pytorch_model\.bin: cannot be read as weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"pytorch_model\.bin: is a pointer of Git LFS"),
    ],
    ids=["empty", "damaged", "pointer"],
)
def test_damaged_pickles_are_errors_of_one_line(pickled: Path, tmp_path: Path, contents: bytes, message: str) -> None:
    (pickled / "pytorch_model.bin").write_bytes(contents)
    with pytest.raises(ValueError, match=message) as caught:
        convert_weights(pickled, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_folders_that_cannot_be_converted_are_told(pickled: Path, model: ConversationModel, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"pickled: its weights are the pickle .* convert-weights .*pickled OUT.*import"
    ):
        ConversationModel.from_pretrained(pickled)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").touch()
    with pytest.raises(FileExistsError, match="full: is not empty"):
        convert_weights(pickled, tmp_path / "full")
    (pickled / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match=r"holds no pytorch_model\.bin"):
        convert_weights(pickled, tmp_path / "out")
    model.save_pretrained(tmp_path / "whole")
    with pytest.raises(ValueError, match="has safetensors already"):
        convert_weights(tmp_path / "whole", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder; download"):
        convert_weights(tmp_path / "nowhere", tmp_path / "out")
