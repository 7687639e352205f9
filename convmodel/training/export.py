"""A model in training in, its best state out."""

import contextlib
import math
import os
from pathlib import Path
from typing import Any, Protocol, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from convmodel.models.card import ModelCard
from convmodel.models.folder import check_replaceable
from convmodel.training.checkpoint import epochs_begun, run_folder
from convmodel.training.samples import ReplySamples


class Exports(Protocol):
    """A LightningModule whose best state is exported."""

    monitor: str
    higher_is_better: bool
    hparams: Any

    @property
    def base_model(self) -> str | None:
        """What is fine-tuned; None for a model from scratch."""

    def export(self, folder: str | os.PathLike[str], *, card: ModelCard, weights: dict[str, Tensor]) -> None:
        """Saves the model with its card; `weights` were gathered from all processes."""

    def told(self, best: float) -> dict[str, float | int]:
        """The numbers of a model card whose best validation came to `best`."""


LINK = "exported"
"""What leads from a run's folder to its exported model."""


class BestExport(Callback):
    """Puts the best model by validation into a folder, and replaces it in one step whenever a better one is found.

    A link in the run's folder leads to it, where the system has links.

    Without validation data, the model of the end of training is exported.

    Args:
        folder: where; None exports nothing.
        samples: what goes into the model card.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, samples: ReplySamples) -> None:
        self._folder, self._samples = folder, samples
        self._best = math.inf
        self._exported = False

    @property
    def best(self) -> float | None:
        """The best validation; None before the first."""
        return None if math.isinf(self._best) else self._best

    @property
    def exported_to(self) -> str | None:
        """Where this run put a model; None while it has not."""
        return str(self._folder) if self._exported and self._folder is not None else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds out before any training whether the folder can be written."""
        if self._folder is not None and stage == "fit":
            check_replaceable(self._folder)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exports when the validation is the best so far."""
        module = cast(Exports, pl_module)
        if trainer.sanity_checking or trainer.state.fn != "fit" or module.monitor not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[module.monitor])
        better = value > self._best if module.higher_is_better else value < self._best
        if better or (math.isinf(self._best) and not math.isnan(value)):
            self._best = value
            self._export(trainer, module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exports what was never validated, and says where the model is."""
        if not self._exported and math.isinf(self._best):
            self._export(trainer, cast(Exports, pl_module))
        if self._folder is not None:
            name = cast(Exports, pl_module).monitor.removeprefix("val_").replace("_", " ")
            best = "" if math.isinf(self._best) else f" (validation {name} {self._best:.4f})"
            rank_zero_info(f"The model is in {self._folder}{best}")

    def state_dict(self) -> dict[str, Any]:
        """The best validation, so that a resumed run does not replace a better model."""
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes it back."""
        self._best = state_dict["best"]

    def _export(self, trainer: Trainer, module: Exports) -> None:
        if self._folder is None:
            return
        weights = trainer.strategy.lightning_module_state_dict()  # gathered by all processes where it is sharded
        run = run_folder(trainer)
        if trainer.is_global_zero:
            module.export(self._folder, card=self._card(trainer, module), weights=weights)
            _link(run / LINK, Path(self._folder))
        self._exported = True
        trainer.strategy.barrier("exported")

    def _card(self, trainer: Trainer, module: Exports) -> ModelCard:
        numbers = {} if math.isinf(self._best) else module.told(self._best)
        numbers |= {"optimiser steps": trainer.global_step, "epochs": epochs_begun(trainer)}
        data = getattr(getattr(trainer, "datamodule", None), "described", {})
        return ModelCard(
            base_model=module.base_model,
            data=[f"{split}: {text}" for split, text in data.items()],
            numbers=numbers,
            training={name: value for name, value in module.hparams.items() if not name.startswith("_")},
            samples=self._samples.latest,
        )


def _link(link: Path, folder: Path) -> None:
    """Makes a link to a folder, in place of an older one; where there is something else, or no links are, none."""
    if link.exists() and not link.is_symlink():
        return
    with contextlib.suppress(OSError):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(folder, link.parent), target_is_directory=True)
