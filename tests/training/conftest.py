"""A run of the trainer on a handful of conversations, in this process or in one of its own."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("pytorch_lightning")

ROOT = Path(__file__).parents[2]
SIZES = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 64, "vocab_size": 300}


@dataclass(frozen=True)
class Ran:
    """A finished run.

    Args:
        status: 0 when all went well; minus a signal's number when killed.
        text: what it wrote on both outputs.
    """

    status: int
    text: str


class Workshop:
    """A folder with three small files, and a trainer that keeps everything in it."""

    def __init__(self, folder: Path, messages: list[str]) -> None:
        self.folder, self._messages = folder, messages
        source = (ROOT / "examples" / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
        for name, lines in {"train": source[:60], "valid": source[60:80], "test": source[80:100]}.items():
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def fill_with_documents(self) -> dict[str, Any]:
        """Puts documents in place of the conversations, and gives the options that train on them."""
        source = (ROOT / "examples" / "data" / "documents-train.jsonl").read_text(encoding="utf-8").splitlines()
        for name, lines in {"train": source[:14], "valid": source[14:20], "test": source[20:26]}.items():
            (self.folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return {
            "model": "convmodel.training.DocumentModule",
            "data": "convmodel.training.DocumentDataModule",
            "data__overlap": 8,
        }

    def arguments(self, command: str = "fit", *, run: str = "run", **options: Any) -> list[str]:
        """The command line; in the names of `options`, two underscores stand for a dot."""
        sizes = {f"model.from_scratch.{name}": value for name, value in SIZES.items()}
        given: dict[str, Any] = {
            **{name: options[name] for name in ("model", "data") if name in options},  # what the others belong to
            **{f"data.{name}_file": self.folder / f"{name}.jsonl" for name in ("train", "valid", "test")},
            "data.tokens_per_batch": 256,
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
            given["export_dir"] = self.folder / run / "model"
        given |= {name.replace("__", "."): value for name, value in options.items()}
        return [command, *(f"--{name}={_written(value)}" for name, value in given.items() if value is not ...)]

    def train(self, command: str = "fit", *, run: str = "run", **options: Any) -> str:
        """Runs the trainer in this process and gives what it said through its logger."""
        from convmodel.trainer import main

        self._messages.clear()
        main(self.arguments(command, run=run, **options))
        return "\n".join(self._messages)

    def spawn(self, *arguments: str, **popen: Any) -> "subprocess.Popen[str]":
        """Starts the trainer in a process of its own, one thread, tests importable."""
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MASTER_ADDR": "127.0.0.1"}
        return subprocess.Popen(
            [sys.executable, "-m", "convmodel.trainer", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **popen,
        )

    def run_apart(self, command: str = "fit", *, run: str = "run", **options: Any) -> Ran:
        """Runs the trainer in a process of its own to its end."""
        with self.spawn(*self.arguments(command, run=run, **options)) as process:
            try:
                text, _ = process.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # with every process that it started
                raise
            return Ran(process.returncode, text)

    def checkpoint(self, run: str = "run") -> dict[str, Any]:
        """The newest checkpoint of a run."""
        from convmodel.training.checkpoint import newest_checkpoint

        found: dict[str, Any] = torch.load(newest_checkpoint(self.folder / run), weights_only=True)
        return found

    def weights(self, run: str = "run") -> dict[str, Tensor]:
        """The weights of its newest checkpoint."""
        found: dict[str, Tensor] = self.checkpoint(run)["state_dict"]
        return found


def _written(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else "null" if value is None else str(value)


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference between two sets of weights of the same names."""
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """What Lightning's logger is told."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("pytorch_lightning")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


@pytest.fixture
def workshop(tmp_path: Path, messages: list[str], monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A workshop; what a run leaves in the environment is put back."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    monkeypatch.chdir(tmp_path)
    return Workshop(tmp_path, messages)


MakeWorkshop = Callable[[], Workshop]
