"""A fine-tuning job in, a folder with a model and the tokens per second out: each contender in a process of its own."""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from benchmarks.common import ROOT, tell
from convmodel.tokens.batching import Batch
from convmodel.tokens.conversation_layout import IGNORED

EXAMPLE = ROOT / "examples" / "smollm2-lora.yaml"
"""Options of ours; TRL gets the same rank, rate, warm-up and tokens per batch."""

TRIED_STEPS = 63
WARM_UP = 3
"""Steps before the clock of a contender starts."""

RATES = ("steps_per_second", "tokens_read_per_second", "useful_tokens_per_second")

Found = dict[str, Any]


@dataclass(frozen=True)
class Tuning:
    """What a contender is given.

    Args:
        contender: ours, scratch or trl.
        train_file: the conversations.
        output: folder of the trained model.
        cache: folder of tokens that later runs read again.
        model: folder of the model to fine-tune; scratch ignores it.
        steps: optimiser steps.
        threads: for torch.
        options: of the trainer's command line, for ours and scratch.
        rank, alpha, dropout, learning_rate, warmup_steps, tokens_per_batch, max_length: of TRL.
    """

    contender: str
    train_file: str
    output: str
    cache: str
    model: str
    steps: int = TRIED_STEPS
    threads: int = 2
    options: tuple[str, ...] = ()
    rank: int = 8
    alpha: float = 16
    dropout: float = 0.0
    learning_rate: float = 1e-3
    warmup_steps: int = 20
    tokens_per_batch: int = 1024
    max_length: int = 512


class Clock:
    """Tokens and seconds from the end of the last warm-up step to the end of the last step."""

    def __init__(self) -> None:
        self.first = time.perf_counter()
        self._start = self._last = self.first
        self._steps = self._read = self._useful = 0

    def step(self, read: float, useful: float) -> None:
        """Record a finished step: its tokens that are no padding, and those of turns and their ends."""
        self._last = time.perf_counter()
        self._steps += 1
        if self._steps == WARM_UP:
            self._start = self._last
        elif self._steps > WARM_UP:
            self._read += int(read)
            self._useful += int(useful)

    def report(self) -> Found:
        """Return steps, seconds of all of them, and rates."""
        seconds = max(self._last - self._start, 1e-9)
        return {
            "steps": self._steps,
            "seconds": self._last - self.first,
            "steps_per_second": max(0, self._steps - WARM_UP) / seconds,
            "tokens_read_per_second": self._read / seconds,
            "useful_tokens_per_second": self._useful / seconds,
        }


class TokenMeter(Callback):
    """Callback of the trainer that writes the report of its clock at the end.

    Args:
        report: the JSON file to write.
    """

    def __init__(self, report: str) -> None:
        self._report = Path(report)
        self._clock = Clock()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._clock = Clock()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count labels, and the tokens up to the last label of each row."""
        predicted = batch["labels"] != IGNORED
        places = torch.arange(1, predicted.shape[1] + 1)
        self._clock.step(int((predicted * places).amax(1).sum()), int(predicted.sum()))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the report."""
        self._report.write_text(json.dumps(self._clock.report()), encoding="utf-8")


def ours(job: Tuning) -> Found:
    """Train with the trainer's command line, a pretrained model or one from scratch."""
    from convmodel.trainer import main as trainer

    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        given = {
            "data.train_file": job.train_file,
            "data.cache_dir": job.cache,
            "trainer.max_steps": job.steps,
            "trainer.max_epochs": -1,
            "trainer.default_root_dir": f"{folder}/run",
            "trainer.enable_progress_bar": "false",
            "export_dir": job.output,
            "trainer.callbacks+": f"{TokenMeter.__module__}.TokenMeter",
            "trainer.callbacks.report": report,
        }
        trainer(["fit", *job.options, *(f"--{name}={value}" for name, value in given.items())])
        found: Found = json.loads(report.read_text(encoding="utf-8"))
        return found


def train(job: Tuning) -> Found:
    """Train with the trainer of the contender."""
    if job.contender != "trl":
        return ours(job)
    from benchmarks.fine_tuning_trl import trl

    return trl(job)


def in_own_process(job: Tuning) -> Found:
    """Run a contender in a fresh Python; RuntimeError with its output if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "benchmarks.fine_tuning_job", json.dumps(asdict(job)), str(report)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{job.contender} failed:\n{done.stdout}{done.stderr}")
        found: Found = json.loads(report.read_text(encoding="utf-8"))
        return found


def rates(job: Tuning, *, smoke: bool = False) -> Found:
    """Return the rates of a short run of a contender, unless an earlier part measured them."""
    report = Path(f"{job.output}-rates.json")
    if not report.exists():
        found = in_own_process(replace(job, output=f"{job.output}-tried", steps=job.steps if smoke else TRIED_STEPS))
        report.write_text(json.dumps({name: found[name] for name in RATES}), encoding="utf-8")
    read: Found = json.loads(report.read_text(encoding="utf-8"))
    return read


def train_minutes(job: Tuning, *, minutes: float, smoke: bool = False) -> Found:
    """Train as many steps as the contender does in some minutes at its measured rate; return steps and rates.

    The number of steps is fixed before, so that what is learned does not depend on what else the machine does.
    """
    if smoke:
        return in_own_process(job)
    measured = rates(job)
    job = replace(job, steps=max(TRIED_STEPS, int(minutes * 60 * measured["steps_per_second"])))
    tell(f"{Path(job.output).name}: {job.steps:,} steps in {minutes:g} minutes")
    in_own_process(job)
    return measured | {"steps": job.steps, "seconds": job.steps / measured["steps_per_second"]}


def main() -> None:
    """Run the contender of the job in the arguments."""
    job = Tuning(**json.loads(sys.argv[1]))
    torch.set_num_threads(job.threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    Path(sys.argv[2]).write_text(json.dumps(train(job)), encoding="utf-8")


if __name__ == "__main__":
    main()
