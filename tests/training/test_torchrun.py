"""Runs under torchrun: a killed process ends the others, and all start again and end as an undisturbed run does."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytorch_lightning")

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from convmodel.training import torchrun
from tests.training.conftest import RunResult, Workshop, difference, environment, result_of
from tests.training.test_checkpoint import callback

local_gloo = pytest.mark.skipif(sys.platform == "win32", reason="gloo over local processes is tried on Linux and macOS")


ISOLATED = ["unshare", "--user", "--map-root-user", "--net"]
"""Beginning of a command that runs in a network namespace of its own, in which it may make others."""

NODES = """
torchrun --nnodes=2 --nproc_per_node=1 --max-restarts=3 --rdzv-backend=c10d --rdzv-id=convmodel \
    --rdzv-endpoint=10.77.0.1:29500 --rdzv-conf=is_host=$((1 - NODE)) --local-addr=$ADDRESS -m convmodel.trainer "$@"
"""
"""Command of each of two nodes."""

INTERRUPTED: dict[str, Any] = {"trainer__max_epochs": 2, "checkpoint__every_n_steps": 2}


def run(workshop: Workshop, *command: str, **options: Any) -> RunResult:
    """Run a command followed by the arguments of a trainer; it is killed if it does not end within five minutes."""
    arguments = workshop.arguments(trainer__strategy="ddp", ckpt_path="last", **options)
    variables = environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    del variables["MASTER_ADDR"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(
        [*command, *arguments], cwd=workshop.folder, env=variables, start_new_session=True, **pipes
    ) as process:
        return result_of(process, timeout=300)


def run_torchrun(workshop: Workshop, restarts: int, **options: Any) -> RunResult:
    """Run two processes on this machine."""
    command = ["torchrun", "--standalone", "--nproc_per_node=2", f"--max-restarts={restarts}", "-m"]
    return run(workshop, *command, "convmodel.trainer", trainer__devices=2, **options)


def check_undisturbed(workshop: Workshop) -> None:
    """Check that the weights are those of a run without kills."""
    undisturbed = workshop.run_two(**INTERRUPTED)
    assert undisturbed.status == 0, undisturbed.text
    assert workshop.checkpoint("run")["global_step"] == workshop.checkpoint("two")["global_step"] > 8
    assert difference(workshop.weights("run"), workshop.weights("two")) == 0


@pytest.mark.slow
@local_gloo
def test_a_killed_process_ends_the_others_and_is_named(workshop: Workshop) -> None:
    result = run_torchrun(workshop, 0, trainer__callbacks=callback("KillAt", step=3, rank=1))
    assert result.status == 1
    assert re.search(r"rank *: 1 .*\n *exitcode *: -9", result.text), result.text


@pytest.mark.slow
@local_gloo
def test_a_run_goes_on_after_two_kills_and_has_the_weights_of_an_undisturbed_run(workshop: Workshop) -> None:
    files = [workshop.folder / f"killed-{rank}" for rank in range(2)]
    spies = [callback("KillAt", step=3 + 4 * rank, rank=rank, once=str(file))[0] for rank, file in enumerate(files)]
    result = run_torchrun(workshop, 3, trainer__callbacks=spies, **INTERRUPTED)
    assert result.status == 0, result.text
    assert all(file.exists() for file in files)
    check_undisturbed(workshop)


def makes_networks() -> bool:
    """Return whether this user may make network namespaces and connect them."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return False
    cable = ["ip", "link", "add", "node0", "type", "veth", "peer", "name", "node1"]
    return subprocess.run([*ISOLATED, *cable], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_two_nodes_with_addresses_of_their_own_go_on_after_a_kill(workshop: Workshop) -> None:
    """The nodes are network namespaces of this machine, connected by a virtual cable."""
    if not makes_networks():
        pytest.skip("network namespaces cannot be made here")
    file = workshop.folder / "killed"
    options = INTERRUPTED | {"trainer__num_nodes": 2, "trainer__devices": 1}
    options["trainer__callbacks"] = callback("KillAt", step=3, rank=1, once=str(file))
    script = Path(__file__).with_name("two_nodes.sh")
    result = run(workshop, *ISOLATED, "sh", str(script), "sh", "-c", NODES, "sh", **options)
    assert result.status == 0, result.text
    assert file.exists()
    check_undisturbed(workshop)


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
    for _ in range(2):  # with the port of a failed attempt, and without any
        with pytest.raises(TimeoutError, match=r"on 127\.0\.0\.1, has not started for 0:00:01; see its output"):
            torchrun.use_new_store()
        agent.delete_key(torchrun.PORT)


def test_without_torchrun_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    monkeypatch.setenv("MASTER_PORT", "1")
    torchrun.use_new_store()
    assert os.environ["MASTER_PORT"] == "1"
