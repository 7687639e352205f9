"""Memory of training steps: measurement of the peak, and activation checkpointing to lower it."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from transformers import PreTrainedModel

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
"""File of Linux. Writing 5 to it resets the peak of the process's memory."""


def enable_checkpointing(model: PreTrainedModel) -> None:
    """Enable activation checkpointing: only the inputs of layers are kept, the rest is computed again in backward."""
    # Newer versions of transformers renamed the method; the old name warns.
    enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})  # re-entrant checkpointing needs inputs that require gradients


class StepMemory(Callback):
    """Callback that logs the peak memory of a step, once, after the first optimiser step."""

    def __init__(self) -> None:
        self._before: int | None = None
        self._is_told = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Reset the peak before the first step, so that it does not include loading the model."""
        if self._before is None:
            reset_peak(trainer.strategy.root_device)
            self._before = peak_memory(trainer.strategy.root_device)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Log the peak after the first optimiser step, which may have several accumulated batches."""
        if self._is_told or self._before is None or trainer.fit_loop._should_accumulate():
            return
        self._is_told = True
        step = (peak_memory(trainer.strategy.root_device) - self._before) / 2**30
        rank_zero_info(f"memory: a step takes {step:.1f} GiB beside {self._before / 2**30:.1f} GiB for the model")


def reset_peak(device: torch.device) -> None:
    """Reset the peak of memory, if the system supports it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        CLEAR_REFS.write_text("5", encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Return the peak memory of this process in bytes: that on the GPU for a CUDA device, else that in RAM."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):
        lines = STATUS.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    import resource  # not available on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
