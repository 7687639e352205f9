"""Result of a training in Python, and the callback that records it."""

import math
import os
import time
from dataclasses import dataclass
from typing import cast

from pytorch_lightning import Callback, LightningModule, Trainer

from convmodel.data.reader import format_count
from convmodel.training.checkpoint import epochs_begun
from convmodel.training.export import BestExport, ExportableModule


@dataclass(frozen=True)
class Validation:
    """Metrics of one validation.

    Args:
        step: number of optimiser steps before the validation.
        epoch: number of the epoch, counted from 0.
        metrics: values by name, such as `val_loss` (nats per predicted token) and `val_perplexity`.
    """

    step: int
    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True, repr=False)
class FitResult:
    """Result of `model.fit`.

    Args:
        monitor: name of the metric by which the best model is selected: `val_loss`, or `val_recall` of a selector.
        best: the best validation, whose weights the model has; None if there was none, or none with a finite metric.
        validations: all validations, in their order.
        steps: number of optimiser steps.
        epochs: number of epochs that were begun.
        seconds: duration of the run.
        interrupted: whether the run was stopped by a KeyboardInterrupt.
        saved_to: folder of the saved model; None if `save_to` was not given.
    """

    monitor: str
    best: Validation | None
    validations: tuple[Validation, ...]
    steps: int
    epochs: int
    seconds: float
    interrupted: bool
    saved_to: str | None

    def __repr__(self) -> str:
        if self.best is None:
            found = "not validated"
        else:
            values = ", ".join(f"{name} {value:.4g}" for name, value in self.best.metrics.items())
            found = f"best at step {self.best.step:,}: {values}"
        ran = f"{format_count(self.steps, 'step')} in {format_count(self.epochs, 'epoch')}, {self.seconds:.0f} s"
        saved = "" if self.saved_to is None else f", saved to {self.saved_to}"
        return f"FitResult({found}; {ran}{', interrupted' if self.interrupted else ''}{saved})"


class FitRecorder(Callback):
    """Callback that records the module and the validations of a run.

    Args:
        export: the callback that exports the best model.
    """

    def __init__(self, export: BestExport) -> None:
        self.export = export
        self.module: LightningModule | None = None
        """The module of the run; None before the training has begun."""
        self._trainer: Trainer | None = None
        self._validations: list[Validation] = []
        self._started = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.module = pl_module
        self._trainer = trainer

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the metrics of a validation."""
        if not trainer.sanity_checking:
            values = {name: float(v) for name, v in trainer.callback_metrics.items() if name.startswith("val_")}
            epoch = max(epochs_begun(trainer) - 1, 0)
            self._validations.append(Validation(trainer.global_step, epoch, values))

    def result(self, *, interrupted: bool, saved_to: str | os.PathLike[str] | None) -> FitResult:
        """Return the result of the run, which has begun."""
        assert self._trainer is not None
        monitor = cast(ExportableModule, self.module).monitor
        return FitResult(
            monitor,
            self._best(monitor),
            tuple(self._validations),
            self._trainer.global_step,
            epochs_begun(self._trainer),
            time.monotonic() - self._started,
            interrupted,
            None if saved_to is None else os.fspath(saved_to),
        )

    def _best(self, monitor: str) -> Validation | None:
        """Return the first validation with the metric of the exported model."""
        best = self.export.best
        if best is None or not math.isfinite(best):
            return None
        return next((each for each in self._validations if each.metrics.get(monitor) == best), None)
