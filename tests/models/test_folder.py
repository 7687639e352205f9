"""The folder: what is in it, who can load it, and what is refused."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig

from convmodel.models.conversation_model import ConversationModel
from tests.conftest import MakeModel
from tests.models.helpers import FILES

pytestmark = pytest.mark.machine


def test_saving_over_an_older_model_replaces_all_of_it(folder: Path, make_model: MakeModel) -> None:
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"old")
    other = make_model(seed=5)
    other.save_pretrained(folder)
    assert {file.name for file in folder.iterdir()} == FILES
    loaded = ConversationModel.from_pretrained(folder)
    assert torch.equal(loaded.hf_model.transformer.wpe.weight, other.hf_model.transformer.wpe.weight)


def test_a_folder_with_other_files_is_not_replaced(model: ConversationModel, tmp_path: Path) -> None:
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


def test_a_folder_without_weights_or_config_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds no weights"):
        ConversationModel.from_pretrained(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no config\.json, so it is no model folder"):
        ConversationModel.from_pretrained(tmp_path / "empty")


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    BertConfig().save_pretrained(folder)
    with pytest.raises(ValueError, match="holds a 'bert' model; a model that writes is a GPT-2"):
        ConversationModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "no-such-model-on-the-hub"])
def test_an_unknown_name_is_a_one_line_error(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder") as error:
        ConversationModel.from_pretrained(name)
    assert "\n" not in str(error.value)
