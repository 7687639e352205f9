"""Callbacks that watch a run, or end it, from inside its own process."""

import json
import logging
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.exceptions import SIGTERMException

from convmodel.training.datamodules.selection import SelectionBatch


class KillAt(Callback):
    """Kills its own process with SIGKILL before a step.

    Args:
        step: number of steps before it.
        rank: the process that is killed; None for all.
        once: file that is made before the process is killed; a process that finds it goes on.
    """

    def __init__(self, step: int, rank: int | None = None, once: str | None = None) -> None:
        self._step, self._rank = step, rank
        self._once = None if once is None else Path(once)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Kill after `step` steps, with a batch that was read and is never learned from."""
        if trainer.global_step != self._step or self._rank not in (None, trainer.global_rank):
            return
        if self._once is not None:
            if self._once.exists():
                return
            self._once.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class InterruptAt(Callback):
    """Presses Ctrl-C in the middle of a step."""

    def __init__(self, step: int, times: int = 1) -> None:
        self._step, self._times = step, times

    def on_train_batch_start(self, trainer: Trainer, *others: Any) -> None:
        """Send SIGINT."""
        if trainer.global_step == self._step:
            self._step = -1  # where batches are accumulated, several begin at the same step
            for _ in range(self._times):
                signal.raise_signal(signal.SIGINT)


class WhatWasRead(Callback):
    """Writes the ids of each row that is read in training to a file per process."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Write a line for each row without padding, or for each example of a selector."""
        if isinstance(batch, SelectionBatch):
            rows: list[Any] = [[one.turns, one.response] for one in batch.examples]
        else:
            pairs = zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True)
            rows = [ids[: _length(labels)] for ids, labels in pairs]
        self._folder.mkdir(exist_ok=True)
        with open(self._folder / f"rank-{trainer.global_rank}.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps([trainer.current_epoch, row]) + "\n" for row in rows if row)


def _length(labels: list[int]) -> int:
    return max((position + 1 for position, label in enumerate(labels) if label != -100), default=0)


class KillInValidation(Callback):
    """Kills its process in the middle of a validation.

    Args:
        number: number of the validation, from 1.
    """

    def __init__(self, number: int) -> None:
        self._left = number

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Kill at the first batch."""
        self._left -= batch_idx == 0
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class SpeakAt(Callback):
    """Warns, logs, and then fails or presses Ctrl-C, before a step.

    Args:
        step: number of steps before it.
        ending: "fail", "interrupt", "terminate", or anything else to go on.
    """

    def __init__(self, step: int, ending: str = "") -> None:
        self._step, self._ending = step, ending

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Act once."""
        if trainer.global_step != self._step:
            return
        logging.getLogger("convmodel.training").info("so far all is well")
        logging.getLogger("somebody.else").warning("this is odd")
        warnings.warn("and this too", UserWarning, stacklevel=1)
        if self._ending == "fail":
            raise RuntimeError("the spy has failed")
        if self._ending == "interrupt":
            raise KeyboardInterrupt
        if self._ending == "terminate":
            raise SIGTERMException  # as Lightning does in the step after the signal came


class LossCurve(Callback):
    """Writes the loss of each training batch, and the norm of the latest gradient, to a file per process.

    Args:
        file: beginning of the name of the file; `-0.jsonl` and so on follow.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._norm = 0.0

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Compute the norm, before the gradients are clipped."""
        gradients = [p.grad.norm() for p in module.parameters() if p.grad is not None]
        self._norm = float(torch.stack(gradients).norm())

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any) -> None:
        """Write a line."""
        with open(f"{self._file}-{trainer.global_rank}.jsonl", "a", encoding="utf-8") as file:
            file.write(f"{float(outputs['loss'])} {self._norm}\n")
