"""What a person finds in a run's folder: what was trained, what was said, what the model wrote."""

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
from tests.training.conftest import SIZES, Workshop
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
    found: dict[str, Any] = json.loads((folder / "description.json").read_text(encoding="utf-8"))
    return found


def lines(file: Path) -> list[str]:
    """Without the time."""
    return [re.sub(r"^\d{4}-\d\d-\d\d [\d:,]+ ", "", line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_description_says_what_was_trained_on_what_with_what_and_what_came_of_it(workshop: Workshop) -> None:
    workshop.train(trainer__logger="true")
    folder = workshop.folder / "run" / "lightning_logs" / "version_0"
    found = description(folder)
    assert found["state"] == "finished" and found["went_on_from"] is None
    assert (
        found["command"].startswith("python -m convmodel.trainer fit ") and "--model.warmup_steps=2" in found["command"]
    )
    assert datetime.fromisoformat(found["started"]) <= datetime.fromisoformat(found["ended"])
    model = ConversationModel.from_pretrained(workshop.folder / "run" / "model")
    assert found["model"]["class"] == "convmodel.training.ConversationModule"
    assert found["model"]["parameters"] == found["model"]["learned"] == model.hf_model.num_parameters()
    assert found["model"]["options"]["from_scratch"]["n_embd"] == 16
    assert found["model"]["base_model"] is None
    assert found["data"]["class"] == "convmodel.training.ConversationDataModule"
    assert found["data"]["options"]["tokens_per_batch"] == 256
    assert "train.jsonl: JSON Lines" in found["data"]["train"] and "60 conversations" in found["data"]["train"]
    assert found["versions"]["convmodel"] == convmodel.__version__
    assert found["versions"]["torch"] == version("torch")
    assert found["versions"]["transformers"] == transformers.__version__
    assert found["device"]["type"] == "cpu" and found["device"]["processes"] == 1
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert found["result"] == {
        "steps": checkpoint["global_step"],
        "epochs": 1,
        "best_val_loss": checkpoint["callbacks"]["BestExport"]["best"],
        "exported_to": str(workshop.folder / "run" / "model"),
    }
    assert (folder / "exported").resolve() == workshop.folder / "run" / "model"


def test_a_run_of_a_selector_is_described_and_logged_too(workshop: Workshop) -> None:
    workshop.train(**CHOOSING)
    found = description(workshop.folder / "run")
    assert found["model"]["class"] == "convmodel.training.BiEncoderModule"
    assert found["model"]["options"]["new_encoder"]["width"] == 16
    assert found["state"] == "finished" and found["result"]["steps"] == 2
    assert found["result"]["best_val_recall"] is not None
    assert any(line.startswith("INFO model: bi-encoder") for line in lines(workshop.folder / "run" / "info.log"))


@pytest.mark.parametrize(
    ("ending", "error", "state", "last"),
    [
        ("fail", RuntimeError, "failed: the spy has failed", "RuntimeError: the spy has failed"),
        ("interrupt", SystemExit, "interrupted", "WARNING stopped at step 3"),
        ("terminate", SystemExit, "interrupted", "WARNING stopped at step 3"),
    ],
)
def test_a_run_that_ends_before_its_end_says_why(
    workshop: Workshop, ending: str, error: type[BaseException], state: str, last: str
) -> None:
    with pytest.raises(error), pytest.warns(UserWarning, match="and this too"):
        workshop.train(trainer__callbacks=callback("SpeakAt", step=3, ending=ending))
    found = description(workshop.folder / "run")
    assert found["state"] == state
    assert found["result"] == {"steps": 3, "epochs": 1, "best_val_loss": None, "exported_to": None}
    for name in ("info.log", "warnings.log"):
        assert lines(workshop.folder / "run" / name)[-1] == last


def test_a_run_that_goes_on_says_from_where_and_keeps_the_logs(workshop: Workshop) -> None:
    workshop.train(trainer__max_steps=2)
    before = lines(workshop.folder / "run" / "info.log")
    assert "INFO precision: " in "\n".join(before)  # said before the folder was known
    workshop.train(ckpt_path="last", trainer__max_steps=4)
    found = description(workshop.folder / "run")
    assert found["state"] == "finished"
    assert found["went_on_from"] == str(workshop.folder / "run" / "checkpoints" / "last.ckpt")
    assert lines(workshop.folder / "run" / "info.log")[: len(before)] == before
