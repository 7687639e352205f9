"""Export of the best model by validation."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from convmodel.models.conversation_model import ConversationModel
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.training.conversation_module import ConversationModule
from convmodel.training.export import BestExport
from convmodel.training.samples import ReplySamples


class Run:
    """A fake trainer with the attributes that BestExport and ReplySamples use."""

    def __init__(self, model: ConversationModel, folder: Path) -> None:
        self.model = model
        self.callback_metrics: dict[str, Tensor] = {}
        self.sanity_checking = False
        self.state = SimpleNamespace(fn="fit")
        self.is_global_zero = True
        self.global_step = 0
        self.log_dir = folder
        self.fit_loop = SimpleNamespace(epoch_progress=SimpleNamespace(current=SimpleNamespace(ready=1)))
        self.strategy = SimpleNamespace(lightning_module_state_dict=self.weights, barrier=lambda _: None)
        self.module = ConversationModule()
        self.module.hf_model, self.module._tokenizer = model.hf_model, model.tokenizer

    def weights(self) -> dict[str, Tensor]:
        return {f"hf_model.{name}": values for name, values in self.model.hf_model.state_dict().items()}


@pytest.fixture
def run(model: ConversationModel, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(model, tmp_path_factory.mktemp("run"))


def exported_step(folder: Path) -> float:
    """Return the step in the card of the exported model."""
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    return float(next(line.split("|")[2] for line in lines if line.startswith("| optimiser steps")))


def test_only_a_better_model_is_exported(run: Any, tmp_path: Path) -> None:
    export = BestExport(tmp_path / "model", ReplySamples())
    for step, (loss, expected) in enumerate([(2.0, 0), (1.5, 1), (1.7, 1), (1.5, 1), (1.2, 4), (float("nan"), 4)]):
        run.global_step, run.callback_metrics = step, {"val_loss": torch.tensor(loss)}
        export.on_validation_end(run, run.module)
        assert exported_step(tmp_path / "model") == expected
        assert exported_step(run.log_dir / "exported") == expected


def test_a_failed_export_keeps_the_old_model(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = BestExport(tmp_path / "model", ReplySamples())
    run.callback_metrics = {"val_loss": torch.tensor(2.0)}
    export.on_validation_end(run, run.module)
    before = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(ConversationTokenizer, "save_pretrained", fail)
    run.callback_metrics = {"val_loss": torch.tensor(1.0)}
    with pytest.raises(OSError, match="the disk is full"):
        export.on_validation_end(run, run.module)
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_without_validation_the_last_model_is_exported(run: Any, tmp_path: Path) -> None:
    export = BestExport(tmp_path / "model", ReplySamples())
    run.global_step = 7
    export.on_train_end(run, run.module)
    assert exported_step(tmp_path / "model") == 7


def test_a_model_that_is_replaced_is_kept(run: Any, tmp_path: Path, model: ConversationModel) -> None:
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    for _ in range(2):  # the second time replaces the model kept first
        export = BestExport(folder, ReplySamples())
        export.setup(run, run.module, "fit")
        for loss in (2.0, 1.0):  # several exports of a run keep the model of before the run
            run.global_step += 1
            run.callback_metrics = {"val_loss": torch.tensor(loss)}
            export.on_validation_end(run, run.module)
        kept = {file.name: file.read_bytes() for file in (tmp_path / "model.previous").iterdir()}
        assert kept == before
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert exported_step(tmp_path / "model.previous") == 2 and exported_step(folder) == 4
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model", "model.previous"]


def test_a_resumed_run_keeps_the_model_of_before_it_began(run: Any, tmp_path: Path, model: ConversationModel) -> None:
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    before = (folder / "README.md").read_bytes()
    export = BestExport(folder, ReplySamples())
    run.callback_metrics = {"val_loss": torch.tensor(2.0)}
    export.on_validation_end(run, run.module)
    resumed = BestExport(folder, ReplySamples())
    resumed.load_state_dict(export.state_dict())
    run.callback_metrics = {"val_loss": torch.tensor(1.0)}
    resumed.on_validation_end(run, run.module)
    assert (tmp_path / "model.previous" / "README.md").read_bytes() == before


def test_a_folder_of_other_files_is_not_replaced_by_the_model_that_is_kept(
    run: Any, tmp_path: Path, model: ConversationModel
) -> None:
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model.previous").mkdir()
    (tmp_path / "model.previous" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"model\.previous: holds 'thesis\.txt'"):
        BestExport(tmp_path / "model", ReplySamples()).setup(run, run.module, "fit")


def test_the_end_of_training_tells_what_to_do_next(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "my model"
    with caplog.at_level("INFO"):
        BestExport(folder, ReplySamples()).on_train_end(run, run.module)
    assert f"Talk to it: python -m convmodel chat --model '{folder}'" in caplog.messages
