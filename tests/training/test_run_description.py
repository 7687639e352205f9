"""What a person finds in a run's folder: what was trained, what was said, what the model wrote."""

import contextlib
import json
import logging
import re
import warnings
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import convmodel
from convmodel.data.conversation import read_conversations
from convmodel.models.conversation_model import ConversationModel
from convmodel.training.run_logs import RunLog, capture_logs
from tests.training.conftest import SIZES, Workshop
from tests.training.test_resume import callback

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


def test_logs_hold_everything_that_was_said_once_and_by_level(workshop: Workshop) -> None:
    with pytest.warns(UserWarning, match="and this too"):
        said = workshop.train(trainer__callbacks=callback("SpeakAt", step=1))
    info, warned = (lines(workshop.folder / "run" / name) for name in ("info.log", "warnings.log"))
    assert [line.partition("(")[0] for line in warned] == ["WARNING this is odd", "WARNING UserWarning: and this too "]
    assert set(warned) < set(info)
    assert info.count("INFO so far all is well") == 1
    for line in said.splitlines():
        assert info.count(f"INFO {line}") == 1
    loss = re.compile(r"INFO step \d+, epoch 0: val_loss [\d.]+, val_perplexity [\d.]+$")
    assert len(list(filter(loss.match, info))) == 1


def test_a_run_without_a_warning_has_no_file_of_warnings_and_a_test_has_no_logs(workshop: Workshop) -> None:
    workshop.train(trainer__max_steps=1)
    assert not (workshop.folder / "run" / "warnings.log").exists()
    before = (workshop.folder / "run" / "info.log").read_bytes(), description(workshop.folder / "run")
    workshop.train("test", ckpt_path="last")
    assert ((workshop.folder / "run" / "info.log").read_bytes(), description(workshop.folder / "run")) == before


def test_what_listens_is_put_away_after_the_run(tmp_path: Path) -> None:
    root, shown = logging.getLogger(), warnings.showwarning
    handlers = list(root.handlers)
    with contextlib.suppress(RuntimeError), capture_logs() as log:
        log.open(tmp_path)
        root.warning("%s", "within")
        raise RuntimeError
    root.warning("after")
    assert root.handlers == handlers and warnings.showwarning is shown
    assert lines(tmp_path / "warnings.log") == ["WARNING within"]


def test_a_process_without_files_keeps_nothing(tmp_path: Path) -> None:
    log = RunLog()
    log.forget()
    log.handle(logging.LogRecord("a", logging.INFO, "", 0, "lost", None, None))
    log.open(tmp_path)
    assert not list(tmp_path.iterdir())


# Samples


def samples(workshop: Workshop) -> list[dict[str, Any]]:
    text = (workshop.folder / "run" / "generated.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_samples_are_drawn_as_the_options_say_and_alike_after_each_validation(workshop: Workshop) -> None:
    workshop.train(
        trainer__max_epochs=2,
        model__learning_rate=0,
        samples__contexts=[["Hello"], ["Hello"]],
        samples__options={"do_sample": True, "temperature": 2.0},
        samples__max_new_tokens=12,
    )
    found = samples(workshop)
    assert [one["epoch"] for one in found] == [0, 0, 1, 1]
    assert all(one["context"] == ["Hello"] and one["persona"] == [] for one in found)
    assert found[0]["options"] == {"do_sample": True, "max_new_tokens": 12, "temperature": 2.0}
    replies = [one["replies"] for one in found]
    assert replies[:2] == replies[2:] and replies[0] != replies[1]


def test_samples_tell_what_the_exported_model_would_reply(workshop: Workshop) -> None:
    workshop.train(samples__number=2)
    model = ConversationModel.from_pretrained(workshop.folder / "run" / "model", dtype="float32")
    found = samples(workshop)
    first = [one.persona for one in read_conversations(workshop.folder / "valid.jsonl")][:2]
    assert [one["persona"] for one in found] == [list(persona) for persona in first]
    for one in found:
        again = model.generate(one["context"], persona=one["persona"], **one["options"])
        assert again.responses == one["replies"]
