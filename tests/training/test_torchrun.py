"""Runs under torchrun: a killed process ends the others, or the run goes on from its checkpoint."""

import re
import subprocess
import sys
from typing import Any

import pytest

from tests.training.conftest import Workshop, difference, environment
from tests.training.test_checkpoint import callback

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS"),
]


def torchrun(workshop: Workshop, restarts: int, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run two processes; they are killed if they do not end within two minutes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [f"--max-restarts={restarts}", "-m", "convmodel.trainer"]
    arguments = workshop.arguments(trainer__strategy="ddp", trainer__devices=2, ckpt_path="last", **options)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run([*command, *arguments], cwd=workshop.folder, env=environment(), timeout=120, **pipes)


def test_a_run_goes_on_by_itself_after_a_process_was_killed(workshop: Workshop) -> None:
    """The weights are those of an undisturbed run, dropout included."""
    options: dict[str, Any] = {"checkpoint__every_n_steps": 2, "trainer__max_epochs": 2}
    undisturbed = workshop.run_two(run="undisturbed", **options)
    assert undisturbed.status == 0, undisturbed.text
    kill = callback("KillAt", step=5, rank=1, once=str(workshop.folder / "once"))
    result = torchrun(workshop, 3, run="killed", trainer__callbacks=kill, **options)
    assert result.returncode == 0, result.stdout
    assert "starting a new run" in result.stdout and "last.ckpt" in result.stdout
    assert workshop.checkpoint("killed")["global_step"] == workshop.checkpoint("undisturbed")["global_step"]
    assert difference(workshop.weights("killed"), workshop.weights("undisturbed")) == 0


def test_a_killed_process_ends_the_others_and_is_named(workshop: Workshop) -> None:
    result = torchrun(workshop, 0, trainer__callbacks=callback("KillAt", step=3, rank=1))
    assert result.returncode == 1
    assert re.search(r"rank *: 1 .*\n *exitcode *: -9", result.stdout), result.stdout
