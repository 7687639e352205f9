"""Describe a run in `description.json`: model, data, versions, device, state and result."""

import json
import platform
import shlex
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

import convmodel
from convmodel import training
from convmodel.data.atomic import atomic_file
from convmodel.training.checkpoint import INTERRUPTIONS, epochs_begun, run_folder
from convmodel.training.export import BestExport, public_options

FILE = "description.json"
PACKAGES = ("torch", "transformers", "tokenizers", "pytorch-lightning", "numpy")


class RunDescription(Callback):
    """Callback that writes `description.json` when a run starts, and adds the result when it ends.

    The file of a run that was killed keeps the state "running".
    """

    def __init__(self, export: BestExport) -> None:
        self._export = export
        self._description: dict[str, Any] = {}
        self._file = Path(FILE)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the description of the started run; only the first process writes."""
        self._file = run_folder(trainer) / FILE
        data = getattr(trainer, "datamodule", None)
        self._description = {
            "command": shlex.join(["python", "-m", "convmodel.trainer", *sys.argv[1:]]),
            "state": "running",
            "started": _now(),
            "ended": None,
            "model": {
                "class": _class_path(pl_module),
                "base_model": getattr(pl_module, "base_model", None),
                "parameters": sum(weights.numel() for weights in pl_module.parameters()),
                "learned": sum(weights.numel() for weights in pl_module.parameters() if weights.requires_grad),
                "options": public_options(pl_module.hparams),
            },
            "data": {} if data is None else _data(data),
            "versions": _versions(),
            "device": _device(trainer),
            "went_on_from": None if trainer.ckpt_path is None else str(trainer.ckpt_path),
        }
        self._write(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the result of a finished run."""
        self._end(trainer, pl_module, "finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Add the reason for which the run ended early."""
        reason = str(exception) or type(exception).__name__
        self._end(trainer, pl_module, "interrupted" if isinstance(exception, INTERRUPTIONS) else f"failed: {reason}")

    def _end(self, trainer: Trainer, pl_module: LightningModule, state: str) -> None:
        if not self._description:  # training did not start
            return
        self._description |= {
            "state": state,
            "ended": _now(),
            "result": {
                "steps": trainer.global_step,
                "epochs": epochs_begun(trainer),
                f"best_{getattr(pl_module, 'monitor', 'validation')}": self._export.best,
                "exported_to": self._export.exported_to,
            },
        }
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self._description, indent=2, ensure_ascii=False, default=str) + "\n"
            with atomic_file(self._file) as temporary:
                temporary.write_text(text, encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _data(module: Any) -> dict[str, Any]:
    described = getattr(module, "described", {})
    return {"class": _class_path(module), "options": public_options(module.hparams), **described}


def _class_path(instance: object) -> str:
    """Return the import path of an object's class.

    A class that is public in `convmodel.training` has its path there, which stays the same if its module is renamed.
    """
    name = type(instance).__qualname__
    public = getattr(training, name, None) if name in training.__all__ else None
    return f"{training.__name__ if public is type(instance) else type(instance).__module__}.{name}"


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "convmodel": convmodel.__version__}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _device(trainer: Trainer) -> dict[str, Any]:
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "type": device.type,
        "name": name,
        "processes": trainer.world_size,
        "threads": torch.get_num_threads(),
        "precision": str(trainer.precision),
        "system": platform.platform(),
    }
