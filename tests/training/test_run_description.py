"""The description of a run."""

import json
import re
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import convmodel
from convmodel.models.conversation_model import ConversationModel
from tests.training.conftest import SIZES, TOKENS_PER_BATCH, Workshop
from tests.training.test_checkpoint import callback

CHOOSING: dict[str, Any] = {
    "model": "convmodel.training.BiEncoderModule",
    "data": "convmodel.training.SelectionDataModule",
    "trainer__max_steps": 2,
    "trainer__val_check_interval": 2,
    **{f"model__from_scratch__{name}": ... for name in SIZES},
    "data__tokens_per_batch": ...,
    "data__batch_size": 8,
    "model__new_encoder__layers": 1,
    "model__new_encoder__width": 16,
    "model__new_encoder__heads": 2,
    "model__new_encoder__vocab_size": 300,
}


def description(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "description.json").read_text(encoding="utf-8"))
    return content


def log_lines(file: Path) -> list[str]:
    """Return the lines of a log without their times."""
    return [re.sub(r"^\d{4}-\d\d-\d\d [\d:,]+ ", "", line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_the_description_has_model_data_versions_device_and_result(workshop: Workshop) -> None:
    workshop.train(trainer__logger="true")
    folder = workshop.folder / "run" / "lightning_logs" / "version_0"
    run = description(folder)
    assert run["state"] == "finished" and run["went_on_from"] is None
    assert run["command"].startswith("python -m convmodel.trainer fit ") and "--model.warmup_steps=2" in run["command"]
    assert datetime.fromisoformat(run["started"]) <= datetime.fromisoformat(run["ended"])
    model = ConversationModel.from_pretrained(workshop.folder / "run" / "model")
    assert run["model"]["class"] == "convmodel.training.ConversationModule"
    assert run["model"]["parameters"] == run["model"]["learned"] == model.hf_model.num_parameters()
    assert run["model"]["options"]["from_scratch"]["n_embd"] == 16
    assert run["model"]["base_model"] is None
    assert run["data"]["class"] == "convmodel.training.ConversationDataModule"
    assert run["data"]["options"]["tokens_per_batch"] == TOKENS_PER_BATCH
    assert "train.jsonl: JSON Lines" in run["data"]["train"] and "60 conversations" in run["data"]["train"]
    assert run["versions"]["convmodel"] == convmodel.__version__
    assert run["versions"]["torch"] == version("torch")
    assert run["versions"]["transformers"] == transformers.__version__
    assert run["device"]["type"] == "cpu" and run["device"]["processes"] == 1
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert run["result"] == {
        "steps": checkpoint["global_step"],
        "epochs": 1,
        "best_val_loss": checkpoint["callbacks"]["BestExport"]["best"],
        "exported_to": str(workshop.folder / "run" / "model"),
    }
    assert (folder / "exported").resolve() == workshop.folder / "run" / "model"


@pytest.mark.slow
def test_the_run_of_a_selector_is_described_and_logged(workshop: Workshop) -> None:
    workshop.train(**CHOOSING)
    run = description(workshop.folder / "run")
    assert run["model"]["class"] == "convmodel.training.BiEncoderModule"
    assert run["model"]["options"]["new_encoder"]["width"] == 16
    assert run["state"] == "finished" and run["result"]["steps"] == 2
    assert run["result"]["best_val_recall"] is not None
    assert any(line.startswith("INFO model: bi-encoder") for line in log_lines(workshop.folder / "run" / "info.log"))


@pytest.mark.parametrize(
    ("ending", "error", "state", "last_line"),
    [
        ("fail", RuntimeError, "failed: the spy has failed", "RuntimeError: the spy has failed"),
        ("interrupt", SystemExit, "interrupted", "WARNING stopped at step 3"),
        ("terminate", SystemExit, "interrupted", "WARNING stopped at step 3"),
    ],
)
def test_the_description_of_an_interrupted_run_has_the_reason(
    workshop: Workshop, ending: str, error: type[BaseException], state: str, last_line: str
) -> None:
    with pytest.raises(error), pytest.warns(UserWarning, match="and this too"):
        workshop.train(trainer__callbacks=callback("SpeakAt", step=3, ending=ending))
    run = description(workshop.folder / "run")
    assert run["state"] == state
    assert run["result"] == {"steps": 3, "epochs": 1, "best_val_loss": None, "exported_to": None}
    for name in ("info.log", "warnings.log"):
        assert log_lines(workshop.folder / "run" / name)[-1] == last_line


@pytest.mark.slow
def test_a_resumed_run_records_its_checkpoint_and_appends_to_the_logs(workshop: Workshop) -> None:
    workshop.train(trainer__max_steps=2)
    before = log_lines(workshop.folder / "run" / "info.log")
    assert "INFO precision: " in "\n".join(before)  # logged before the folder was known
    workshop.train(ckpt_path="last", trainer__max_steps=4)
    run = description(workshop.folder / "run")
    assert run["state"] == "finished"
    assert run["went_on_from"] == str(workshop.folder / "run" / "checkpoints" / "last.ckpt")
    assert log_lines(workshop.folder / "run" / "info.log")[: len(before)] == before
