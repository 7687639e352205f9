"""The inputs of samples, and the inputs for the data module."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.data.conversation import Conversation
from convmodel.models.conversation_model import ConversationModel
from convmodel.training.conversation_module import ConversationModule, ReplyInput
from convmodel.training.datamodules.base import ModelInputs
from convmodel.training.samples import SampleRequest
from tests.models.test_conversation_model import with_layout
from tests.training.conftest import Workshop
from tests.training.test_language_module import SIZES


def test_samples_use_given_contexts_or_the_beginnings_of_examples() -> None:
    module = ConversationModule(from_scratch=SIZES)
    long = Conversation(("a", "b", "c", "d", "e"), ("I am Ida.",))
    short = Conversation(("a", "b"))
    given = SampleRequest([["Hello"]], None, [long])
    assert module.sample_inputs(given) == [ReplyInput(["Hello"])]
    beginnings = module.sample_inputs(SampleRequest(None, None, [long, short]))
    assert beginnings == [ReplyInput(("a", "b", "c"), ("I am Ida.",)), ReplyInput(("a",))]
    names = ("Ida", "Eve", "Tom", "Tom", "Eve")
    [group] = module.sample_inputs(SampleRequest(None, None, [Conversation(long.turns, long.persona, speakers=names)]))
    assert group == ReplyInput(("a", "b"), (), names[:2], "Tom")


def test_the_data_module_gets_the_window_and_the_turns_to_predict() -> None:
    module = ConversationModule(from_scratch=SIZES, train_on="last")
    assert module.inputs == ModelInputs("ConversationDataModule", SIZES.n_positions, "last")
    assert module.tokenizer is None and module.vocab_size == SIZES.vocab_size


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("chat_template", False)),
        ({"model__layout": "separators"}, ("separators", True)),
        ({"model__layout": "separators", "model__token_types": "false"}, ("separators", False)),
    ],
)
def test_fine_tuning_takes_the_template_of_the_folder_or_the_given_layout(
    workshop: Workshop, tmp_path: Path, options: dict[str, Any], expected: tuple[str, bool]
) -> None:
    with_layout("chatml").save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "conversation.json").unlink()
    workshop.train(model__pretrained_model_name_or_path=tmp_path / "base", trainer__max_steps=1, **options)
    folder = workshop.folder / "run" / "model"
    saved = json.loads((folder / "conversation.json").read_text())
    assert saved["layout"] == expected[0]
    encoding = ConversationModel.from_pretrained(folder, device="cpu").tokenizer(["Hello"])
    assert ("token_type_ids" in encoding) == expected[1]


def test_options_of_the_layout_are_checked() -> None:
    with pytest.raises(ValueError, match="layout='chatml'; allowed are auto, separators, chat_template"):
        ConversationModule(from_scratch=SIZES, layout="chatml")  # type: ignore[arg-type]


def test_a_run_with_more_speakers_learns_their_tokens_and_exports_their_number(
    workshop: Workshop, tmp_path: Path
) -> None:
    file = tmp_path / "group.jsonl"
    line = {"turns": ["Hello", "Hi", "Rain", "And you?"], "speakers": ["Ida", "Tom", "Eve", "Eve"]}
    file.write_text(f"{json.dumps(line)}\n" * 8)
    workshop.train("fit", run="group", model__max_speakers=3, data__train_file=file, data__valid_file=file)
    folder = workshop.folder / "group" / "model"
    assert json.loads((folder / "conversation.json").read_text())["max_speakers"] == 3
    model = ConversationModel.from_pretrained(folder, device="cpu")
    assert "<speaker2>" in model.tokenizer.hf_tokenizer.get_vocab()
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": 3}
    output = model.generate(line["turns"], speakers=line["speakers"], speaker="Tom", **options)
    assert output.context == line["turns"]
    assert "Ida" not in model.tokenizer.hf_tokenizer.get_vocab()


def test_a_run_with_two_sides_learns_names_and_shows_samples_of_the_group(workshop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "group.jsonl"
    line = {"turns": ["Hello", "Hi", "Rain", "And you?"], "speakers": ["Ida", "Thomasina", "Eve", "Thomasina"]}
    file.write_text(f"{json.dumps(line)}\n" * 8)
    workshop.train("fit", run="group", data__train_file=file, data__valid_file=file)
    folder = workshop.folder / "group"
    model = ConversationModel.from_pretrained(folder / "model", device="cpu")
    assert {"Ida", "Thomasina", "Eve", ":"} <= set(model.tokenizer.hf_tokenizer.get_vocab())
    sample = json.loads((folder / "generated.jsonl").read_text().splitlines()[0])
    assert sample["speakers"] == ["Ida", "Thomasina", "Eve"] and sample["speaker"] == "Thomasina"
