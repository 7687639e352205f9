"""Callback that exports the model with the best validation metric to a folder."""

import contextlib
import math
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from convmodel.models.card import ModelCard
from convmodel.models.folder import check_replaceable, replaced_folder
from convmodel.training.checkpoint import epochs_begun, run_folder
from convmodel.training.samples import ReplySamples
from convmodel.training.sharding import full_weights


class ExportableModule(Protocol):
    """LightningModule whose best state is exported by `BestExport`."""

    monitor: str
    higher_is_better: bool
    hparams: Any
    base_model: str | None
    next_step: str

    def export(self, folder: str | os.PathLike[str], *, card: ModelCard, weights: dict[str, Tensor]) -> None:
        """Save the model with its card. `weights` is the full state dict, gathered from all processes."""

    def card_metrics(self, best: float) -> dict[str, float | int]:
        """Return the metrics shown on the model card; `best` is the best validation metric."""


LINK = "exported"
"""Name of the link in a run's folder that points to its exported model."""


class BestExport(Callback):
    """Callback that exports the model to `folder` after each validation that is the best so far.

    The previous export is replaced atomically. A model that another run left in the folder is kept as
    `FOLDER.previous` (one model, the last one). A symbolic link in the run's folder points to the export, if the file
    system supports links. Without validation data, the model at the end of training is exported. The model card shows
    the latest samples of `samples`.

    Args:
        folder: The folder; None exports nothing.
        samples: Callback whose samples the model card shows.
        temporary: Whether the folder is removed after the run. If so, no message names it.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None, samples: ReplySamples, *, temporary: bool = False
    ) -> None:
        self._folder = folder
        self._temporary = temporary
        self._samples = samples
        self.best: float | None = None
        """Best value of the validation metric; None before the first validation."""
        self.exported_to: str | None = None
        """Folder to which this run exported a model; None before the first export."""
        self._has_exported = False  # of a resumed run: also before it was interrupted

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Raise an error before training if the folder cannot be replaced."""
        if self._folder is not None and stage == "fit":
            check_replaceable(self._folder)
            if _has_files(self._folder):
                check_replaceable(_previous(self._folder))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export the model if its validation metric is the best so far."""
        module = cast(ExportableModule, pl_module)
        if trainer.sanity_checking or trainer.state.fn != "fit" or module.monitor not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[module.monitor])
        sign = 1 if module.higher_is_better else -1
        if not math.isnan(value) and (self.best is None or sign * value > sign * self.best):
            self.best = value if math.isfinite(value) else None
            self._export(trainer, module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Export the model if it was never validated, and log the folder of the export."""
        module = cast(ExportableModule, pl_module)
        if self.exported_to is None and self.best is None:
            self._export(trainer, module)
        if self._folder is not None and not self._temporary:
            name = module.monitor.removeprefix("val_").replace("_", " ")
            best = "" if self.best is None else f" (validation {name} {self.best:.4f})"
            rank_zero_info(f"The model is in {self._folder}{best}")
            rank_zero_info(module.next_step.format(folder=shlex.quote(os.fspath(self._folder))))

    def state_dict(self) -> dict[str, Any]:
        """Return the best validation metric, so that a resumed run does not replace a better model."""
        return {"best": math.inf if self.best is None else self.best, "exported": self._has_exported}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = None if math.isinf(state_dict["best"]) else state_dict["best"]
        self._has_exported = state_dict.get("exported", self.best is not None)

    def _export(self, trainer: Trainer, module: ExportableModule) -> None:
        if self._folder is None:
            return
        weights = full_weights(trainer)  # all processes take part in gathering shards
        run = run_folder(trainer)
        if trainer.is_global_zero:
            if not self._has_exported and _has_files(self._folder):
                _keep(self._folder)
            module.export(self._folder, card=self._card(trainer, module), weights=weights)
            _link(run / LINK, Path(self._folder))
        self.exported_to = str(self._folder)
        self._has_exported = True
        trainer.strategy.barrier("exported")

    def _card(self, trainer: Trainer, module: ExportableModule) -> ModelCard:
        numbers = {} if self.best is None else module.card_metrics(self.best)
        numbers |= {"optimiser steps": trainer.global_step, "epochs": epochs_begun(trainer)}
        data = getattr(getattr(trainer, "datamodule", None), "described", {})
        return ModelCard(
            base_model=module.base_model,
            data=[f"{split}: {text}" for split, text in data.items()],
            numbers=numbers,
            training=public_options(module.hparams),
            samples=self._samples.latest,
        )


def public_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a module without those that Lightning adds."""
    return {name: value for name, value in options.items() if not name.startswith("_")}


def _has_files(folder: str | os.PathLike[str]) -> bool:
    return os.path.isdir(folder) and bool(os.listdir(folder))


def _previous(folder: str | os.PathLike[str]) -> Path:
    return Path(f"{Path(folder)}.previous")


def _keep(folder: str | os.PathLike[str]) -> None:
    """Keep a model that will be replaced as `FOLDER.previous`, by hard links where the file system has them."""
    previous = _previous(folder)
    with replaced_folder(previous) as kept:
        shutil.copytree(folder, kept, copy_function=_link_or_copy, dirs_exist_ok=True)
    rank_zero_info(f"The model that was in {folder} is kept in {previous}")


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _link(link: Path, folder: Path) -> None:
    """Create or replace a symbolic link to a folder.

    Do nothing if `link` is an ordinary file or folder, or if the file system does not support links.
    """
    if link.exists() and not link.is_symlink():
        return
    with contextlib.suppress(OSError):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(folder, link.parent), target_is_directory=True)
