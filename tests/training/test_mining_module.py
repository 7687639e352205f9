"""Runs that mine negatives, and resume between two minings."""

from typing import Any

import pytest

pytest.importorskip("pytorch_lightning")

from tests.training.conftest import Workshop, difference
from tests.training.test_selector_modules import BI, CROSS, POLY, train


@pytest.mark.slow
@pytest.mark.machine
def test_a_run_that_resumes_between_two_minings_has_equal_weights(workshop: Workshop) -> None:
    options: dict[str, Any] = {
        "model__new_encoder__dropout": 0.1,
        "model__mined_negatives__every_steps": 2,
        "model__mined_negatives__per_context": 3,
        "trainer__max_epochs": -1,
    }
    train(workshop, POLY, run="whole", **options, trainer__max_steps=6)
    whole = workshop.checkpoint("whole")
    assert whole["mined_negatives"]["step"] == 4
    train(workshop, POLY, run="short", **options, trainer__max_steps=3)
    train(workshop, POLY, run="short", **options, trainer__max_steps=6, ckpt_path="last")
    assert difference(workshop.weights("short"), whole["state_dict"]) == 0
    without = {name: value for name, value in options.items() if "mined" not in name}
    train(workshop, POLY, run="without", **without, trainer__max_steps=6)
    assert difference(workshop.weights("without"), whole["state_dict"]) > 0


@pytest.mark.slow
def test_a_checkpoint_of_another_training_file_is_refused(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {"model__mined_negatives__every_steps": 2}
    train(workshop, BI, **options, trainer__max_steps=3)
    file = workshop.folder / "train.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(SystemExit):
        train(workshop, BI, **options, trainer__max_steps=4, ckpt_path="last")
    assert "give the training file of the checkpoint" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cross_encoder_refuses_to_mine(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train(workshop, CROSS, model__mined_negatives__every_steps=1)
    assert "mined_negatives" in capsys.readouterr().err
