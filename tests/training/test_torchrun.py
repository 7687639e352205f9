"""Runs under torchrun: a killed process ends the others."""

import re
import subprocess
import sys
from typing import Any

import pytest

from tests.training.conftest import Workshop, environment
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


def test_a_killed_process_ends_the_others_and_is_named(workshop: Workshop) -> None:
    result = torchrun(workshop, 0, trainer__callbacks=callback("KillAt", step=3, rank=1))
    assert result.returncode == 1
    assert re.search(r"rank *: 1 .*\n *exitcode *: -9", result.stdout), result.stdout
