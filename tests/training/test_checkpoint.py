"""A run that is cut short and goes on, against one that was never cut short: the same weights, to the bit."""

import signal
from typing import Any

import pytest
import torch

from convmodel.models.conversation_model import ConversationModel
from tests.training.conftest import Workshop, difference

pytestmark = pytest.mark.slow


def callback(name: str, **arguments: Any) -> list[dict[str, Any]]:
    """What stands for a callback of tests/training/spies.py on the command line."""
    return [{"class_path": f"tests.training.spies.{name}", "init_args": arguments}]


DROPOUT: dict[str, Any] = {"trainer__max_epochs": 3, "checkpoint__every_n_steps": 5}
"""Three epochs with dropout; a checkpoint every five steps and around each validation."""


def test_a_killed_run_goes_on_in_mid_epoch_as_though_nothing_had_happened(workshop: Workshop) -> None:
    """A real process and a real kill -9, three steps after a checkpoint that lies in the middle of the second epoch."""
    workshop.train(run="whole", **DROPOUT)
    whole = workshop.checkpoint("whole")
    steps = whole["global_step"] // 3
    kill_at = (steps + steps // 2) // 5 * 5 + 3
    assert (
        steps < kill_at - 3 < 2 * steps
    )  # the checkpoint it goes on from is neither the first nor the last of an epoch
    killed = workshop.run_apart(run="cut", trainer__callbacks=callback("KillAt", step=kill_at), **DROPOUT)
    assert killed.status == -signal.SIGKILL
    assert '"state": "running"' in (workshop.folder / "cut" / "description.json").read_text(encoding="utf-8")
    assert workshop.checkpoint("cut")["global_step"] == kill_at - 3
    workshop.train(run="cut", ckpt_path="last", **DROPOUT)
    assert workshop.checkpoint("cut")["global_step"] == whole["global_step"]
    assert difference(workshop.weights("cut"), whole["state_dict"]) == 0
    models = [ConversationModel.from_pretrained(workshop.folder / run / "model") for run in ("whole", "cut")]
    assert difference(*(model.hf_model.state_dict() for model in models)) == 0


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({"trainer__max_epochs": 2, "trainer__val_check_interval": 0.5}, 2),
        ({"trainer__max_epochs": 2}, 2),
        ({"trainer__max_steps": 8, "trainer__val_check_interval": 4}, 2),
    ],
    ids=["in mid-epoch", "at the end", "at the last step"],
)
def test_a_run_that_was_killed_while_validating_validates_when_it_goes_on(
    workshop: Workshop, options: dict[str, Any], number: int
) -> None:
    workshop.train(run="whole", **options)
    spy = callback("KillInValidation", number=number)
    assert workshop.run_apart(run="cut", trainer__callbacks=spy, **options).status == -signal.SIGKILL
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
    ids=["plainly", "accumulating", "validating in mid-epoch", "never validating"],
)
def test_stopping_after_any_number_of_steps_and_going_on_changes_nothing(
    workshop: Workshop, options: dict[str, Any]
) -> None:
    given = {"model__schedule": "constant", "data__tokens_per_batch": 512, **options}
    workshop.train(run="whole", trainer__max_steps=17, trainer__max_epochs=10, **given)
    for stop in (1, 7, 12):
        workshop.train(run=f"cut-{stop}", trainer__max_steps=stop, trainer__max_epochs=10, **given)
        workshop.train(run=f"cut-{stop}", trainer__max_steps=17, trainer__max_epochs=10, ckpt_path="last", **given)
        assert workshop.checkpoint(f"cut-{stop}")["global_step"] == 17
        assert difference(workshop.weights(f"cut-{stop}"), workshop.weights("whole")) == 0


def test_ctrl_c_leaves_a_checkpoint_says_where_and_the_run_goes_on_from_it(workshop: Workshop) -> None:
    workshop.train(run="whole", trainer__max_epochs=2)
    stopped = workshop.run_apart(run="cut", trainer__max_epochs=2, trainer__callbacks=callback("InterruptAt", step=9))
    assert stopped.status != 0
    assert "Stopping after this step; press Ctrl-C again to stop at once." in stopped.text
    assert "last.ckpt at step 10; the same command with --ckpt_path last goes on from there." in stopped.text
    assert "Traceback" not in stopped.text
    assert workshop.checkpoint("cut")["global_step"] == 10
    workshop.train(run="cut", trainer__max_epochs=2, ckpt_path="last")
    assert difference(workshop.weights("cut"), workshop.weights("whole")) == 0


def test_the_newest_checkpoint_of_all_runs_is_the_last(workshop: Workshop) -> None:
    for steps in (3, 2):
        workshop.train(trainer__logger="true", trainer__max_steps=steps)
    said = workshop.train(trainer__logger="true", trainer__max_steps=4, ckpt_path="last")
    assert "version_1/checkpoints/last.ckpt" in said
    assert workshop.checkpoint()["global_step"] == 4


def test_options_that_are_given_win_over_the_checkpoint_and_every_difference_is_told(workshop: Workshop) -> None:
    workshop.train(model__learning_rate=0.01, model__weight_decay=0.5, trainer__max_steps=2)
    said = workshop.train(model__learning_rate=0.02, trainer__max_steps=3, ckpt_path="last")
    assert "model.learning_rate: 0.02 (given; the checkpoint was trained with 0.01)" in said
    assert "model.weight_decay: 0.5 (from the checkpoint; the default is 0.01)" in said
    assert said.count("checkpoint was trained with") == said.count("(from the checkpoint") == 1
    group = workshop.checkpoint()["optimizer_states"][0]["param_groups"][0]
    assert group["weight_decay"] == 0.5
    assert workshop.checkpoint()["hyper_parameters"]["learning_rate"] == 0.02


def test_sizes_other_than_those_of_the_checkpoint_are_refused(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop.train(trainer__max_steps=1)
    with pytest.raises(SystemExit):
        workshop.train(model__from_scratch__n_embd=32, trainer__max_steps=2, ckpt_path="last")
    assert (
        "model.from_scratch.n_embd=32, but the checkpoint has 16, which comes with its weights"
        in capsys.readouterr().err
    )


def test_a_checkpoint_needs_neither_the_training_file_nor_the_cache_to_be_measured(workshop: Workshop) -> None:
    workshop.train()
    (workshop.folder / "train.jsonl").unlink()
    workshop.train("test", ckpt_path="last", data__cache_dir=workshop.folder / "elsewhere")


def test_a_checkpoint_holds_only_what_torch_loads_without_unpickling_objects(workshop: Workshop) -> None:
    workshop.train(trainer__max_steps=1)
    found = torch.load(workshop.folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert found["convmodel"]["config"]["n_embd"] == 16
    assert "tokenizer.json" in found["convmodel"]["tokenizer"]


def test_a_resumed_run_does_not_replace_a_better_model(workshop: Workshop) -> None:
    workshop.train(trainer__max_epochs=2, model__learning_rate=0.003)
    folder = workshop.folder / "run" / "model"
    before = ConversationModel.from_pretrained(folder).hf_model.state_dict()
    workshop.train(trainer__max_epochs=3, model__learning_rate=3.0, model__warmup_steps=0, ckpt_path="last")
    assert difference(before, ConversationModel.from_pretrained(folder).hf_model.state_dict()) == 0
