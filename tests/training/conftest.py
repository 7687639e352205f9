"""A run of the trainer on a handful of conversations, in this process or in one of its own."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.forks import Forks

pytest.importorskip("pytorch_lightning")

ROOT = Path(__file__).parents[2]
SIZES = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 64, "vocab_size": 300}
TOKENS_PER_BATCH = 1024
"""An epoch has about a dozen batches."""

TWO: dict[str, Any] = {"trainer__strategy": "ddp", "trainer__devices": 2}
"""Options of a run of two processes."""


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        status: 0 after success; minus the signal's number if it was killed.
        text: stdout and stderr of its processes.
    """

    status: int
    text: str


def result_of(process: "subprocess.Popen[str]", *, timeout: float) -> RunResult:
    """Wait for a process of a session of its own; kill it, with every process that it started, after `timeout` s."""
    try:
        text, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return RunResult(process.returncode, text)


class Workshop:
    """A folder with three small files, and a trainer that writes only there."""

    def __init__(self, folder: Path, messages: list[str], forks: Forks | None = None) -> None:
        self.folder = folder
        self._messages = messages
        self._forks = forks
        source = (ROOT / "examples" / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
        for name, lines in {"train": source[:60], "valid": source[60:80], "test": source[80:100]}.items():
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def fill_with_documents(self) -> dict[str, Any]:
        """Replace the conversations by documents; return the options that train on them."""
        source = (ROOT / "examples" / "data" / "documents-train.jsonl").read_text(encoding="utf-8").splitlines()
        for name, lines in {"train": source[:14], "valid": source[14:20], "test": source[20:26]}.items():
            (self.folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return {
            "model": "convmodel.training.DocumentModule",
            "data": "convmodel.training.DocumentDataModule",
            "data__overlap": 8,
            "data__tokens_per_batch": 256,
        }

    def arguments(self, command: str = "fit", *, run: str = "run", **options: Any) -> list[str]:
        """Return the command line; in the names of `options`, two underscores stand for a dot."""
        sizes = {f"model.from_scratch.{name}": value for name, value in SIZES.items()}
        all_options: dict[str, Any] = {
            **{name: options[name] for name in ("model", "data") if name in options},  # before the options of theirs
            **{f"data.{name}_file": self.folder / f"{name}.jsonl" for name in ("train", "valid", "test")},
            "data.tokens_per_batch": TOKENS_PER_BATCH,
            "data.cache_dir": self.folder / "cache",
            **sizes,
            "model.warmup_steps": 2,
            "trainer.accelerator": "cpu",
            "trainer.default_root_dir": self.folder / run,
            "trainer.max_epochs": 1,
            "trainer.enable_progress_bar": "false",
            "trainer.logger": "false",
        }
        if command == "fit":
            all_options["export_dir"] = self.folder / run / "model"
        all_options |= {name.replace("__", "."): value for name, value in options.items()}
        return [command, *(f"--{name}={_to_text(value)}" for name, value in all_options.items() if value is not ...)]

    def train(self, command: str = "fit", *, run: str = "run", **options: Any) -> str:
        """Run the trainer in this process; return the messages of its logger."""
        from convmodel.trainer import main

        self._messages.clear()
        main(self.arguments(command, run=run, **options))
        return "\n".join(self._messages)

    def spawn(self, *arguments: str, **popen: Any) -> "subprocess.Popen[str]":
        """Start the command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "convmodel.trainer", *arguments],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **popen,
        )

    def run_command(self, command: str = "fit", *, run: str = "run", **options: Any) -> RunResult:
        """Run the command in a process of its own to its end."""
        with self.spawn(*self.arguments(command, run=run, **options)) as process:
            return result_of(process, timeout=120)

    def run_fork(self, command: str = "fit", *, run: str = "run", **options: Any) -> RunResult:
        """Run the trainer in a process of its own to its end, without the seconds of its imports."""
        return self.fork(self.arguments(command, run=run, **options))

    def run_two(self, command: str = "fit", *, run: str = "two", **options: Any) -> RunResult:
        """Run the trainer in two processes of a group, as they are after Lightning has started the second."""
        return self.fork(self.arguments(command, run=run, **options, **TWO), processes=2)

    def fork(self, arguments: list[str], *, processes: int = 1) -> RunResult:
        """Run the trainer with a command line; see `run_fork` and `run_two`."""
        assert self._forks is not None
        output = self.folder / "output"
        output.unlink(missing_ok=True)
        environments = [dict(os.environ)] if processes == 1 else [os.environ | more for more in group_of(processes)]
        statuses = self._forks.run(
            arguments=arguments, folder=str(self.folder), output=str(output), environments=environments
        )
        return RunResult(min(statuses) or max(statuses), output.read_text(encoding="utf-8"))

    def checkpoint(self, run: str = "run") -> dict[str, Any]:
        """Return the newest checkpoint of a run."""
        from convmodel.training.checkpoint import newest_checkpoint

        content: dict[str, Any] = torch.load(newest_checkpoint(self.folder / run), weights_only=True)
        return content

    def weights(self, run: str = "run") -> dict[str, Tensor]:
        """Return the weights of the newest checkpoint of a run."""
        weights: dict[str, Tensor] = self.checkpoint(run)["state_dict"]
        return weights


def _to_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else "null" if value is None else str(value)


def environment() -> dict[str, str]:
    """Return the environment of a trainer in a process of its own: with one thread, and with `tests` importable."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MASTER_ADDR": "127.0.0.1"}


def group_of(processes: int) -> Iterator[dict[str, str]]:
    """Yield the variables by which Lightning tells each process of a group its rank."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    for rank in range(processes):
        yield {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "NODE_RANK": "0",
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes),
        }


def difference(weights: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    """Return the largest difference between two sets of weights of the same names."""
    assert weights.keys() == others.keys()
    return max(float((weights[name].double() - others[name].double()).abs().max()) for name in weights)


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """The messages of Lightning's logger."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("pytorch_lightning")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """A process that forks a trainer; it starts with the first run."""
    forks = Forks(environment)
    yield forks
    forks.close()


@pytest.fixture
def workshop(tmp_path: Path, messages: list[str], monkeypatch: pytest.MonkeyPatch, forks: Forks) -> Workshop:
    """A workshop; the environment is restored after the test."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    monkeypatch.chdir(tmp_path)
    return Workshop(tmp_path, messages, forks)


MakeWorkshop = Callable[[], Workshop]
