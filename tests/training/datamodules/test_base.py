"""Helpers shared by the data modules."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.data.conversation import Conversation
from convmodel.data.document import Document
from convmodel.data.formats.base import DataFileError
from convmodel.data.options import OptionValues
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.datamodules.base import (
    FilesDataModule,
    ModelInputs,
    long_persona_message,
    tell_default_length,
    window_length,
)
from convmodel.training.datamodules.conversation import ConversationDataModule
from convmodel.training.datamodules.document import DocumentDataModule
from convmodel.training.datamodules.selection import SelectionDataModule
from tests.training.datamodules.helpers import set_up

MODULES = (ConversationDataModule, DocumentDataModule, SelectionDataModule)


def test_a_window_is_as_long_as_the_model_allows_unless_a_shorter_one_is_given() -> None:
    inputs = ModelInputs("ConversationDataModule", 64)
    assert window_length(None, inputs) == window_length(64, inputs) == 64
    assert window_length(10, inputs) == 10
    with pytest.raises(ValueError, match=r"data\.max_length=65, but the model reads 64 tokens at most"):
        window_length(65, inputs)


def test_the_window_of_a_pretrained_model_is_bounded_and_told(caplog: pytest.LogCaptureFixture) -> None:
    inputs = ModelInputs("ConversationDataModule", 8192, default_length=1024)
    assert window_length(None, inputs) == 1024
    assert window_length(4096, inputs) == 4096
    with caplog.at_level("INFO", logger="pytorch_lightning"):
        tell_default_length(4096, inputs)
        tell_default_length(None, ModelInputs("ConversationDataModule", 64, default_length=64))
        assert not caplog.messages
        tell_default_length(None, inputs)
    assert caplog.messages == ["data.max_length: 1,024 (the model reads up to 8,192; longer takes memory)"]


def test_a_conversation_is_numbered_from_1_in_an_error() -> None:
    text = long_persona_message("train.jsonl", 0, 64, "data.max_length")
    assert text.startswith("train.jsonl: conversation 1 has a persona that leaves no room for a turn in 64 tokens")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_text('["one", "two"]\n')
    (tmp_path / "b.csv").write_text("Frage;Antwort\nthree;four\n")
    (tmp_path / "c.csv").write_text("context;response\nfive;six\n")
    return tmp_path


def turns_of(data: FilesDataModule[Any, Any]) -> list[tuple[str, ...]]:
    return [conversation.turns for conversation in data.examples("train")]


def test_the_files_of_a_split_are_a_path_a_folder_a_glob_or_a_list_of_them(files: Path) -> None:
    first = [("one", "two"), ("five", "six")]
    (files / "b.csv").unlink()
    for source in (str(files), str(files / "*"), [str(files / "a.jsonl"), str(files / "c.csv")]):
        assert turns_of(ConversationDataModule(source)) == first


def test_options_of_readers_reach_the_reader_and_the_cache(files: Path) -> None:
    columns = "context=Frage,response=Antwort"
    data = ConversationDataModule(str(files / "b.csv"), columns=columns, cache_dir=str(files / "cache"))
    assert turns_of(data) == [("three", "four")]
    several = ConversationDataModule(
        [str(files / name) for name in ("a.jsonl", "c.csv")], cache_dir=str(files / "cache")
    )
    for module in (data, several):
        set_up(module, ModelInputs("ConversationDataModule", 64), tokenizer_class=ConversationTokenizer)
    assert len(list((files / "cache" / "tokens").iterdir())) == 2
    assert several.described["train"].startswith(f"{files}/a.jsonl, {files}/c.csv: JSON Lines (")


def messages_of(train: Path, valid: Path | None, caplog: pytest.LogCaptureFixture) -> str:
    """Return what is logged when a data module is set up."""
    caplog.clear()
    valid_file = None if valid is None else str(valid)
    data = ConversationDataModule(str(train), valid_file=valid_file, cache_dir=str(train.parent / "cache"))
    with caplog.at_level("INFO", logger="pytorch_lightning"):
        set_up(data, ModelInputs("ConversationDataModule", 64), tokenizer_class=ConversationTokenizer)
    return "\n".join(caplog.messages)


def test_a_small_training_file_and_a_missing_validation_file_are_explained(
    files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = files / "a.jsonl"
    large = files / "large.jsonl"
    large.write_text("".join(f'["Say {n} and {n + 1}", "{n} and {n + 1}"]\n' for n in range(1_500)))
    few, unmeasured = "tokens: so little text teaches a model to repeat it", "data.valid_file is not given"
    messages = messages_of(small, None, caplog)
    assert few in messages and unmeasured in messages
    messages = messages_of(large, small, caplog)
    assert few not in messages and unmeasured not in messages


def test_files_of_a_folder_that_hold_no_conversations_are_told(
    files: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = ConversationDataModule(str(files), cache_dir=str(tmp_path_factory.mktemp("cache")))
    set_up(data, ModelInputs("ConversationDataModule", 64), tokenizer_class=ConversationTokenizer)
    assert turns_of(data) == [("one", "two"), ("five", "six")]
    assert f"1 other file left out: first {files}/b.csv:1: " in data.described["train"]


def test_errors_name_the_file_and_the_options_of_the_trainer(files: Path) -> None:
    named = [str(files / name) for name in ("a.jsonl", "b.csv")]
    data = ConversationDataModule(named, cache_dir=str(files / "cache"))
    message = rf"^{files}/b.csv:1: .* data\.columns=context=NAME,response=NAME, .*or read with data\.on_error=skip$"
    with pytest.raises(DataFileError, match=message):
        data.learn_tokenizer(ConversationTokenizer, 300)
    with pytest.raises(ValueError, match=r"data\.gap=soon: give a time such as 90m"):
        ConversationDataModule(str(files), gap="soon")


@pytest.mark.parametrize("module", MODULES)
def test_every_data_module_has_every_option_of_readers(tmp_path: Path, module: type[FilesDataModule[Any, Any]]) -> None:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(module, "data")
    words = [f"--data.train_file={tmp_path}/*.csv", "--data.valid_file=['a', 'b']"]
    data = parser.parse_args(words).data
    assert (data.train_file, data.valid_file) == (f"{tmp_path}/*.csv", ["a", "b"])
    assert {*OptionValues.__annotations__, "cache_dir"} <= set(vars(data))


def test_documents_are_read_from_several_files_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "one"}\n')
    (tmp_path / "b.txt").write_text("two\n\nthree")
    data = DocumentDataModule([str(tmp_path / "a.jsonl"), str(tmp_path / "b.txt")])
    assert list(data.examples("train")) == [Document("one"), Document("two"), Document("three")]


def test_selection_examples_are_read_from_several_files_too(files: Path) -> None:
    data = SelectionDataModule([str(files / "a.jsonl"), str(files / "c.csv")])
    assert list(data.examples("train")) == [Conversation(("one", "two")), Conversation(("five", "six"))]
