"""Interrupted and resumed runs have exactly the weights of an uninterrupted run."""

import signal
from typing import Any

import pytest
import torch

from convmodel.models.conversation_model import ConversationModel
from tests.training.conftest import Workshop, difference

pytestmark = pytest.mark.slow


def callback(name: str, **arguments: Any) -> list[dict[str, Any]]:
    """Return the value of `trainer.callbacks` for a callback of tests/training/spies.py."""
    return [{"class_path": f"tests.training.spies.{name}", "init_args": arguments}]


DROPOUT: dict[str, Any] = {"trainer__max_epochs": 3, "checkpoint__every_n_steps": 5}
"""Three epochs with dropout, and a checkpoint every five steps and around each validation."""


def test_a_run_killed_within_an_epoch_resumes_with_equal_weights(workshop: Workshop) -> None:
    """The process is killed with SIGKILL three steps after a checkpoint within the second epoch."""
    workshop.train(run="whole", **DROPOUT)
    uninterrupted = workshop.checkpoint("whole")
    steps = uninterrupted["global_step"] // 3
    kill_at = (steps + steps // 2) // 5 * 5 + 3
    assert steps < kill_at - 3 < 2 * steps  # the checkpoint is within the second epoch
    killed = workshop.run_fork(run="cut", trainer__callbacks=callback("KillAt", step=kill_at), **DROPOUT)
    assert killed.status == -signal.SIGKILL
    assert '"state": "running"' in (workshop.folder / "cut" / "description.json").read_text(encoding="utf-8")
    assert workshop.checkpoint("cut")["global_step"] == kill_at - 3
    workshop.train(run="cut", ckpt_path="last", **DROPOUT)
    assert workshop.checkpoint("cut")["global_step"] == uninterrupted["global_step"]
    assert difference(workshop.weights("cut"), uninterrupted["state_dict"]) == 0
    models = [ConversationModel.from_pretrained(workshop.folder / run / "model") for run in ("whole", "cut")]
    assert difference(*(model.hf_model.state_dict() for model in models)) == 0


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({"trainer__max_epochs": 2, "trainer__val_check_interval": 0.5}, 3),
        ({"trainer__max_epochs": 2}, 2),
        ({"trainer__max_steps": 8, "trainer__val_check_interval": 4}, 2),
    ],
    ids=["within an epoch", "at the end", "at the last step"],
)
def test_a_run_killed_during_a_validation_repeats_it_after_resuming(
    workshop: Workshop, options: dict[str, Any], number: int
) -> None:
    workshop.train(run="whole", **options)
    spy = callback("KillInValidation", number=number)
    assert workshop.run_fork(run="cut", trainer__callbacks=spy, **options).status == -signal.SIGKILL
    workshop.train(run="cut", ckpt_path="last", **options)
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0
    lines = {run: (workshop.folder / run / "generated.jsonl").read_text(encoding="utf-8") for run in ("whole", "cut")}
    assert lines["cut"] == lines["whole"]
    models = [ConversationModel.from_pretrained(workshop.folder / run / "model") for run in ("whole", "cut")]
    assert difference(*(model.hf_model.state_dict() for model in models)) == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"trainer__accumulate_grad_batches": 3},
        {"trainer__val_check_interval": 7},
        {"trainer__check_val_every_n_epoch": 2, "data__valid_file": ...},
    ],
    ids=["default", "accumulation", "validation within epochs", "no validation"],
)
def test_a_run_resumed_after_any_number_of_steps_has_equal_weights(workshop: Workshop, options: dict[str, Any]) -> None:
    run_options = {
        "model__schedule": "constant",
        "data__tokens_per_batch": 512,
        "samples__max_new_tokens": 4,
        **options,
    }
    workshop.train(run="whole", trainer__max_steps=17, trainer__max_epochs=10, **run_options)
    for stop in (1, 7, 12):
        workshop.train(run=f"cut-{stop}", trainer__max_steps=stop, trainer__max_epochs=10, **run_options)
        workshop.train(
            run=f"cut-{stop}", trainer__max_steps=17, trainer__max_epochs=10, ckpt_path="last", **run_options
        )
        assert workshop.checkpoint(f"cut-{stop}")["global_step"] == 17
        assert difference(workshop.weights(f"cut-{stop}"), workshop.weights("whole")) == 0


def test_ctrl_c_saves_a_checkpoint_from_which_the_run_can_resume(workshop: Workshop) -> None:
    workshop.train(run="whole", trainer__max_epochs=2)
    stopped = workshop.run_command(run="cut", trainer__max_epochs=2, trainer__callbacks=callback("InterruptAt", step=9))
    assert stopped.status != 0
    assert "Stopping after this step; press Ctrl-C again to stop at once." in stopped.text
    assert "last.ckpt at step 10; the same command with --ckpt_path last continues from there." in stopped.text
    assert "Traceback" not in stopped.text
    assert workshop.checkpoint("cut")["global_step"] == 10
    workshop.train(run="cut", trainer__max_epochs=2, ckpt_path="last")
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0


def test_last_is_the_newest_checkpoint_of_all_versions(workshop: Workshop) -> None:
    for steps in (3, 2):
        workshop.train(trainer__logger="true", trainer__max_steps=steps)
    log = workshop.train(trainer__logger="true", trainer__max_steps=4, ckpt_path="last")
    assert "version_1/checkpoints/last.ckpt" in log
    assert workshop.checkpoint()["global_step"] == 4


def test_given_options_override_the_checkpoint_and_differences_are_logged(workshop: Workshop) -> None:
    workshop.train(model__learning_rate=0.01, model__weight_decay=0.5, trainer__max_steps=2)
    log = workshop.train(model__learning_rate=0.02, trainer__max_steps=3, ckpt_path="last")
    assert "model.learning_rate: 0.02 (given; the checkpoint was trained with 0.01)" in log
    assert "model.weight_decay: 0.5 (from the checkpoint; the default is 0.01)" in log
    assert log.count("checkpoint was trained with") == log.count("(from the checkpoint") == 1
    group = workshop.checkpoint()["optimizer_states"][0]["param_groups"][0]
    assert group["weight_decay"] == 0.5
    assert workshop.checkpoint()["hyper_parameters"]["learning_rate"] == 0.02


def test_sizes_other_than_those_of_the_checkpoint_are_rejected(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop.train(trainer__max_steps=1)
    with pytest.raises(SystemExit):
        workshop.train(model__from_scratch__n_embd=32, trainer__max_steps=2, ckpt_path="last")
    assert (
        "model.from_scratch.n_embd=32, but the checkpoint has 16, on which its weights depend"
        in capsys.readouterr().err
    )


def test_testing_a_checkpoint_needs_neither_training_file_nor_cache(workshop: Workshop) -> None:
    workshop.train()
    (workshop.folder / "train.jsonl").unlink()
    workshop.train("test", ckpt_path="last", data__cache_dir=workshop.folder / "elsewhere")


def test_a_checkpoint_can_be_loaded_with_weights_only(workshop: Workshop) -> None:
    workshop.train(trainer__max_steps=1)
    checkpoint = torch.load(workshop.folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["convmodel"]["config"]["n_embd"] == 16
    assert "tokenizer.json" in checkpoint["convmodel"]["tokenizer"]


def test_a_resumed_run_does_not_replace_a_better_model(workshop: Workshop) -> None:
    workshop.train(trainer__max_epochs=2, model__learning_rate=0.003)
    folder = workshop.folder / "run" / "model"
    before = ConversationModel.from_pretrained(folder).hf_model.state_dict()
    workshop.train(trainer__max_epochs=3, model__learning_rate=3.0, model__warmup_steps=0, ckpt_path="last")
    assert difference(before, ConversationModel.from_pretrained(folder).hf_model.state_dict()) == 0
