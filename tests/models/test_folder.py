"""The folder: what is in it, who can load it, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig

from convmodel.models.conversation_model import ConversationModel
from convmodel.models.folder import check_replaceable
from tests.conftest import MakeModel
from tests.models.helpers import FILES

pytestmark = pytest.mark.machine


def test_saving_over_an_older_model_replaces_all_of_it(folder: Path, make_model: MakeModel) -> None:
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"old")
    other = make_model(seed=5)
    other.save_pretrained(folder)
    assert {file.name for file in folder.iterdir()} == FILES
    loaded: Any = ConversationModel.from_pretrained(folder).hf_model
    trained: Any = other.hf_model
    assert torch.equal(loaded.transformer.wpe.weight, trained.transformer.wpe.weight)


def test_a_folder_with_other_files_is_not_replaced(model: ConversationModel, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds 'thesis.txt', which saving a model here would remove"):
        model.save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(FileExistsError, match="is a file, and a folder is to be written; choose another name"):
        model.save_pretrained(tmp_path / "thesis.txt")


def test_a_place_where_nothing_can_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="is a file, and a folder is to be written; choose another"):
        check_replaceable(tmp_path / "thesis.txt" / "model")
    with pytest.raises(PermissionError, match="/proc/model"):
        check_replaceable("/proc/model")
    check_replaceable(tmp_path / "new" / "model")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ValueError, match=r"its weights are the pickle pytorch_model.bin, which could run anything"):
        ConversationModel.from_pretrained(folder)


def test_weights_by_another_name_are_told(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    message = (
        r"holds no model\.safetensors; the weights in model-00001-of-00001\.safetensors are read only if they have"
    )
    with pytest.raises(ValueError, match=message):
        ConversationModel.from_pretrained(folder)


@pytest.mark.parametrize("place", ["model", "snapshots/0a1b"])
def test_a_folder_around_a_model_names_the_one_inside(folder: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    (outside / place).parent.mkdir(parents=True)
    folder.rename(outside / place)
    with pytest.raises(ValueError, match=rf"outside: holds no config\.json, .*give the one inside of it, .*{place}$"):
        ConversationModel.from_pretrained(outside)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.symlink_to("nowhere"), "is a link that leads nowhere"),
        (lambda file: file.symlink_to(file.name), "is a link that leads nowhere"),
        (lambda file: file.mkdir(), "is a folder, not a file"),
    ],
    ids=["nowhere", "loop", "folder"],
)
def test_weights_that_are_no_file_are_told(folder: Path, change: Callable[[Path], object], message: str) -> None:
    (folder / "model.safetensors").unlink()
    change(folder / "model.safetensors")
    with pytest.raises(ValueError, match=rf"model\.safetensors: {message}; copy or download it again, with the files"):
        ConversationModel.from_pretrained(folder)


def test_a_folder_without_weights_or_config_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds no weights"):
        ConversationModel.from_pretrained(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no config\.json, so it is not a model folder"):
        ConversationModel.from_pretrained(tmp_path / "empty")


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    BertConfig().save_pretrained(folder)
    with pytest.raises(ValueError, match="holds a 'bert' model, which does not generate text"):
        ConversationModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "no-such/model-on-the-hub", "gpt2-xl"])
def test_a_name_that_leads_nowhere_is_told_in_one_line(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder") as error:
        ConversationModel.from_pretrained(name)
    assert "\n" not in str(error.value)


def test_a_file_is_no_folder_of_a_model(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json: is a file, not a folder"):
        ConversationModel.from_pretrained(folder / "config.json")
