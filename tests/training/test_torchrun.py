"""Runs under torchrun: a killed process ends the others, and all start again and end as an undisturbed run does."""

import os
import re
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("pytorch_lightning")

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from convmodel.training import torchrun
from tests.training.conftest import Workshop, difference, environment
from tests.training.test_checkpoint import callback

local_gloo = pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")


def run(workshop: Workshop, restarts: int, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run two processes; they are killed if they do not end within five minutes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [f"--max-restarts={restarts}", "-m", "convmodel.trainer"]
    arguments = workshop.arguments(trainer__strategy="ddp", trainer__devices=2, ckpt_path="last", **options)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run([*command, *arguments], cwd=workshop.folder, env=environment(), timeout=300, **pipes)


@pytest.mark.slow
@local_gloo
def test_a_killed_process_ends_the_others_and_is_named(workshop: Workshop) -> None:
    result = run(workshop, 0, trainer__callbacks=callback("KillAt", step=3, rank=1))
    assert result.returncode == 1
    assert re.search(r"rank *: 1 .*\n *exitcode *: -9", result.stdout), result.stdout


@pytest.mark.slow
@local_gloo
def test_a_run_goes_on_after_two_kills_and_has_the_weights_of_an_undisturbed_run(workshop: Workshop) -> None:
    options: dict[str, Any] = {"trainer__max_epochs": 2, "checkpoint__every_n_steps": 2}
    files = [workshop.folder / f"killed-{rank}" for rank in range(2)]
    spies = [callback("KillAt", step=3 + 4 * rank, rank=rank, once=str(file))[0] for rank, file in enumerate(files)]
    result = run(workshop, 3, trainer__callbacks=spies, **options)
    assert result.returncode == 0, result.stdout
    assert all(file.exists() for file in files)
    undisturbed = workshop.run_two(**options)
    assert undisturbed.status == 0, undisturbed.text
    assert workshop.checkpoint("run")["global_step"] == workshop.checkpoint("two")["global_step"] > 8
    assert difference(workshop.weights("run"), workshop.weights("two")) == 0


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> TCPStore:
    """The store of torchrun, in which the port of a failed attempt is left; this process is the second one."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        store.set(torchrun.PORT, str(closed.getsockname()[1]))
    variables = {"TORCHELASTIC_USE_AGENT_STORE": "True", "MASTER_ADDR": "127.0.0.1", "RANK": "1"}
    for name, value in {**variables, "MASTER_PORT": str(store.port)}.items():
        monkeypatch.setenv(name, value)
    return store


def test_the_first_process_serves_a_new_store_in_each_attempt(agent: TCPStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    ports = {agent.port}
    for _ in range(2):
        monkeypatch.setenv("MASTER_PORT", str(agent.port))
        torchrun.use_new_store()
        ports.add(int(os.environ["MASTER_PORT"]))
        assert agent.get(torchrun.PORT).decode() == os.environ["MASTER_PORT"]
    assert len(ports) == 3


def test_other_processes_wait_for_the_new_store(agent: TCPStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as new:
        port = str(new.getsockname()[1])
        timer = threading.Timer(0.3, agent.set, (torchrun.PORT, port))
        timer.start()
        torchrun.use_new_store()
        timer.join()
    assert os.environ["MASTER_PORT"] == port


def test_a_first_process_that_does_not_start_is_an_error(agent: TCPStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchrun, "WAIT", timedelta(seconds=1))
    with pytest.raises(TimeoutError, match=r"on 127\.0\.0\.1, has not started for 0:00:01; see its output"):
        torchrun.use_new_store()


def test_without_torchrun_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    monkeypatch.setenv("MASTER_PORT", "1")
    torchrun.use_new_store()
    assert os.environ["MASTER_PORT"] == "1"
