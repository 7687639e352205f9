"""Training in Python, against the command with the same options."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from torch import Tensor

from convmodel.data.conversation import read_conversations
from convmodel.data.document import read_documents
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.document_model import DocumentModel
from convmodel.models.selection.bi_encoder import BiEncoder
from tests.conftest import MakeModel, MakeSelector
from tests.training.conftest import SIZES, TOKENS_PER_BATCH, Workshop, difference

QUIET: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False}
WRITER: dict[str, Any] = {"max_epochs": 1, "warmup_steps": 2, "tokens_per_batch": TOKENS_PER_BATCH, **QUIET}
ENCODER = {"layers": 1, "heads": 2, "width": 16, "positions": 64, "vocab_size": 300}
SELECTOR: dict[str, Any] = {"max_epochs": 1, "batch_size": 16, "max_context": 60, "max_candidate": 20, **QUIET}


def weights_of(model: ConversationModel | DocumentModel) -> dict[str, Tensor]:
    return dict(model.hf_model.state_dict())


@pytest.fixture
def folder(make_model: MakeModel, tmp_path: Path) -> Path:
    """The folder of a model that is fine-tuned."""
    make_model(n_positions=256).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def fit_as_the_command(workshop: Workshop, folder: Path) -> ConversationModel:
    workshop.train(model__pretrained_model_name_or_path=folder)
    return ConversationModel.from_pretrained(workshop.folder / "run" / "model")


def test_fit_gives_the_weights_of_the_command_from_files_and_from_memory(workshop: Workshop, folder: Path) -> None:
    wanted = weights_of(fit_as_the_command(workshop, folder))
    train, valid = (workshop.folder / f"{split}.jsonl" for split in ("train", "valid"))
    from_files = ConversationModel.from_pretrained(folder)
    before = weights_of(from_files)
    from_files.fit(train, [valid], **WRITER)
    from_memory = ConversationModel.from_pretrained(folder)
    from_memory.fit((each for each in read_conversations(train)), [*read_conversations(valid)], **WRITER)
    assert difference(weights_of(from_files), wanted) == 0
    assert difference(weights_of(from_memory), wanted) == 0
    assert difference(before, wanted) > 0


def test_a_trained_model_replies_with_its_new_weights_and_leaves_no_files(workshop: Workshop, folder: Path) -> None:
    wanted = fit_as_the_command(workshop, folder).generate(["Hello"], do_sample=False)
    files = sorted(workshop.folder.rglob("*"))
    model = ConversationModel.from_pretrained(folder)
    result = model.fit(workshop.folder / "train.jsonl", workshop.folder / "valid.jsonl", **WRITER)
    assert model.generate(["Hello"], do_sample=False) == wanted
    assert sorted(workshop.folder.rglob("*")) == files
    assert model.hf_model.name_or_path == str(folder)
    assert not model.hf_model.training
    assert model.fit_result is result


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_new_writer_has_the_weights_of_the_command(workshop: Workshop, split: str) -> None:
    workshop.train(model__layout="separators")
    wanted = ConversationModel.from_pretrained(workshop.folder / "run" / "model")
    train = workshop.folder / "train.jsonl"
    valid = workshop.folder / "valid.jsonl"
    given: Iterable[Any] | Path = read_conversations(train) if split == "train" else train
    model = ConversationModel.from_scratch(given, [*read_conversations(valid)], size=SIZES, **WRITER)
    assert difference(weights_of(model), weights_of(wanted)) == 0
    assert model.fit_result is not None and model.fit_result.best is not None


def test_a_new_document_model_has_the_weights_of_the_command(workshop: Workshop) -> None:
    workshop.train(**workshop.fill_with_documents())
    wanted = DocumentModel.from_pretrained(workshop.folder / "run" / "model")
    documents = [*read_documents(workshop.folder / "train.jsonl")]
    options = WRITER | {"tokens_per_batch": 256, "overlap": 8}
    model = DocumentModel.from_scratch(documents, workshop.folder / "valid.jsonl", size=SIZES, **options)
    assert difference(weights_of(model), weights_of(wanted)) == 0


def test_a_new_selector_has_the_weights_of_the_command_and_learns_further(workshop: Workshop) -> None:
    no_writer: dict[str, Any] = {f"model__from_scratch__{name}": ... for name in SIZES}
    workshop.train(
        model="convmodel.training.BiEncoderModule",
        data="convmodel.training.SelectionDataModule",
        data__tokens_per_batch=...,
        data__batch_size=16,
        model__warmup_steps=...,
        model__max_context=60,
        model__max_candidate=20,
        model__new_encoder=ENCODER,
        **no_writer,
    )
    wanted = BiEncoder.from_pretrained(workshop.folder / "run" / "model")
    train = [*read_conversations(workshop.folder / "train.jsonl")]
    model = BiEncoder.from_scratch(train, workshop.folder / "valid.jsonl", size=ENCODER, **SELECTOR)
    assert difference(model.weights(), wanted.weights()) == 0
    before = model.weights()
    result = model.fit(train, workshop.folder / "valid.jsonl", max_epochs=1, learning_rate=0.01, **QUIET)
    assert result.monitor == "val_recall"
    assert difference(model.weights(), before) > 0


class Stop(Callback):
    """Interrupts a run in the epoch after the first."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_run_leaves_the_best_model_so_far(workshop: Workshop, folder: Path) -> None:
    train, valid = workshop.folder / "train.jsonl", workshop.folder / "valid.jsonl"
    model = ConversationModel.from_pretrained(folder)
    handler = signal.getsignal(signal.SIGINT)
    result = model.fit(train, valid, **WRITER | {"max_epochs": 5, "schedule": "constant", "callbacks": [Stop()]})
    assert signal.getsignal(signal.SIGINT) is handler
    assert result.interrupted and result.best is not None and "interrupted" in repr(result)
    once = ConversationModel.from_pretrained(folder)
    assert once.fit(train, valid, **WRITER | {"schedule": "constant"}).best == result.best
    assert difference(weights_of(model), weights_of(once)) == 0


def test_an_interrupted_run_without_validation_leaves_the_latest_weights(workshop: Workshop, folder: Path) -> None:
    model = ConversationModel.from_pretrained(folder)
    before = weights_of(model)
    result = model.fit(workshop.folder / "train.jsonl", **WRITER | {"max_epochs": 5, "callbacks": [Stop()]})
    assert result.interrupted and result.best is None
    assert difference(weights_of(model), before) > 0


def test_a_run_changes_neither_the_seeds_nor_the_random_numbers_of_the_program(
    workshop: Workshop, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    model = ConversationModel.from_pretrained(folder)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    model.fit(workshop.folder / "valid.jsonl", **WRITER)
    assert torch.equal(torch.rand(4), expected)
    assert os.environ["PL_GLOBAL_SEED"] == "7"


def test_the_saved_model_is_the_trained_one_and_its_card_names_no_temporary_folder(
    workshop: Workshop, folder: Path, messages: list[str]
) -> None:
    model = ConversationModel.from_pretrained(folder)
    conversations = [*read_conversations(workshop.folder / "train.jsonl")]
    result = model.fit(conversations, conversations[:9], save_to=workshop.folder / "saved", **WRITER)
    saved = ConversationModel.from_pretrained(workshop.folder / "saved")
    assert difference(weights_of(model), weights_of(saved)) == 0
    assert result.saved_to == str(workshop.folder / "saved")
    card = (workshop.folder / "saved" / "README.md").read_text(encoding="utf-8")
    assert "conversations in memory: JSON Lines, 60 conversations" in card
    assert f"fine-tuned from `{folder}`" in card
    assert "convmodel-" not in card + "\n".join(messages)


def test_adapters_are_merged_into_the_model(workshop: Workshop, folder: Path) -> None:
    model = ConversationModel.from_pretrained(folder)
    names = set(weights_of(model))
    model.fit(workshop.folder / "valid.jsonl", lora={"r": 2, "alpha": 4}, **WRITER)
    assert set(weights_of(model)) == names


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_epoch": 1}, TypeError, "max_epoch: there is no such option; did you mean max_epochs?"),
        ({"max_epochs": "many"}, ValueError, "trainer.max_epochs=many: is not allowed; allowed are a whole number"),
        ({"lora": {"rank": 3}}, ValueError, "model.lora.rank: there is no such option"),
        ({"devices": 2}, ValueError, "devices=2: in Python a model is trained on one device"),
        ({"max_length": 1000}, ValueError, "data.max_length=1000, but the model reads 256 tokens at most"),
        ({"tokens_per_batch": 0}, ValueError, "tokens_per_batch"),
    ],
)
def test_a_wrong_option_is_an_error_and_leaves_the_model_as_it_was(
    workshop: Workshop, folder: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = ConversationModel.from_pretrained(folder)
    before = {name: weights.clone() for name, weights in weights_of(model).items()}
    with pytest.raises(error) as raised:
        model.fit(workshop.folder / "train.jsonl", **QUIET | options)
    assert message in str(raised.value)
    assert difference(weights_of(model), before) == 0


def test_a_model_in_int8_is_not_trained(folder: Path) -> None:
    model = ConversationModel.from_pretrained(folder, dtype="int8")
    with pytest.raises(ValueError, match='int8 cannot be trained; load it with dtype="float32"'):
        model.fit([["Hello", "Hi"]])


def test_a_selector_without_weights_of_its_own_is_not_trained(make_selector: MakeSelector) -> None:
    from convmodel.models.selection.fused_selector import FusedSelector

    with pytest.raises(TypeError, match="a FusedSelector is not trained; allowed are ConversationModel"):
        FusedSelector.from_scratch([["Hello", "Hi"]])
