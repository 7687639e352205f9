"""Memory of training steps: the peak that a step takes, and activations that are computed twice to lower it."""

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
"""File of Linux; a 5 written into it makes it forget the peak so far."""


def enable_checkpointing(model: PreTrainedModel) -> None:
    """Make a model keep the inputs of its layers alone, and compute the rest again for the gradients."""
    # The name of newer versions of transformers, whose old name warns.
    enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})  # the other kind gives no gradients to layers whose inputs need none


class StepMemory(Callback):
    """Callback that tells once, after the first optimiser step, how much memory a step takes at most."""

    def __init__(self) -> None:
        self._before: int | None = None
        self._is_told = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Forget the peak of what came before, such as loading the model."""
        if self._before is None:
            reset_peak(trainer.strategy.root_device)
            self._before = peak_memory(trainer.strategy.root_device)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Tell the peak; accumulated batches are one step."""
        if self._is_told or self._before is None or trainer.fit_loop._should_accumulate():
            return
        self._is_told = True
        step = (peak_memory(trainer.strategy.root_device) - self._before) / 2**30
        rank_zero_info(f"memory: a step takes {step:.1f} GiB beside {self._before / 2**30:.1f} GiB for the model")


def reset_peak(device: torch.device) -> None:
    """Forget the peak of memory so far, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        CLEAR_REFS.write_text("5", encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Return the peak of memory in bytes: of a GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):
        lines = STATUS.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    import resource  # which Windows does not have

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
