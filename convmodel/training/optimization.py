"""Gradients in, optimiser steps out: the optimiser, its schedule and its clipping, which all training modules share."""

import math
import os
from typing import Any, Literal, cast

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities import rank_zero_info
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import Adadelta, Adamax, AdamW, Optimizer

from convmodel.generation.seeds import derive_seed
from convmodel.training.schedule import Plateau, Schedule, learning_rate_at

OptimizerName = Literal["adamw", "adamax", "adadelta"]
"""AdamW; Adamax, of the bi- and poly-encoder's recipes; ADADELTA, ConveRT's."""


class OptimizedModule(LightningModule):
    """A LightningModule whose optimiser steps depend on the step, the seed and the gradients alone.

    Args:
        optimizer: which one.
        learning_rate: the highest learning rate.
        warmup_steps: optimiser steps until it is reached.
        schedule: how it falls afterwards.
        cycles: how often.
        weight_decay: of matrices, embeddings among them; biases and layer norms are left alone.
        betas: the two averaging rates of AdamW and Adamax.
    """

    def __init__(
        self,
        *,
        optimizer: OptimizerName,
        learning_rate: float,
        warmup_steps: int,
        schedule: Schedule,
        cycles: int,
        weight_decay: float,
        betas: tuple[float, float],
    ) -> None:
        super().__init__()
        if cycles < 1:
            raise ValueError(f"model.cycles={cycles}; it must be at least 1")
        self._optimizer, self._learning_rate = optimizer, learning_rate
        self._warmup_steps, self._schedule, self._cycles = warmup_steps, schedule, cycles
        self._weight_decay, self._betas = weight_decay, (betas[0], betas[1])
        self._plateau = Plateau()
        self._total_steps = math.inf

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Makes dropout a function of the step alone, so that a resumed run draws what the first would have drawn."""
        torch.manual_seed(
            derive_seed(os.environ.get("PL_GLOBAL_SEED", "0"), self.current_epoch, batch_idx, self.global_rank)
        )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Sets the learning rate of the step."""
        rate = self._plateau.scale * learning_rate_at(
            self.trainer.global_step,
            peak=self._learning_rate,
            warmup_steps=self._warmup_steps,
            total_steps=self._total_steps,
            schedule=self._schedule,
            cycles=self._cycles,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        self.log("learning_rate", rate, batch_size=1)

    def configure_optimizers(self) -> Optimizer:
        """The optimiser; the schedule is a function of the step, see `on_before_optimizer_step`."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": self._weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        if self._optimizer == "adadelta":
            return Adadelta(groups, lr=self._learning_rate)
        if self._optimizer == "adamax":
            return Adamax(groups, lr=self._learning_rate, betas=self._betas)
        # With a gradient scaler, a fused step would undo the scaling only after the clipping.
        fused = self.device.type in ("cpu", "cuda") and self.trainer.precision != "16-mixed"
        return AdamW(groups, lr=self._learning_rate, betas=self._betas, fused=fused)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips as `trainer.gradient_clip_val` says; Lightning itself refuses to with a fused optimiser or FSDP."""
        if not gradient_clip_val:
            return
        if gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        elif isinstance(self.trainer.strategy, FSDPStrategy):
            cast(FullyShardedDataParallel, self.trainer.strategy.model).clip_grad_norm_(gradient_clip_val)
        else:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_train_start(self) -> None:
        """Counts the steps to come, and lets this run's options win over those of a checkpoint's optimiser state.

        Counting any earlier would make Lightning build the loader before it can give it its place in the epoch.
        """
        self._total_steps = float(self.trainer.estimated_stepping_batches)
        if math.isinf(self._total_steps) and self._schedule in ("cosine", "linear"):
            rank_zero_info("Neither max_epochs nor max_steps is set: the learning rate stays constant after warm-up")
        for group, decay in zip(self.trainer.optimizers[0].param_groups, (self._weight_decay, 0.0), strict=True):
            group["weight_decay"] = decay
            if "betas" in group:
                group["betas"] = self._betas

    # Validation and test

    def full_precision(self) -> torch.autocast:
        """Return a context in which autocast is off: mixed precision is for training steps."""
        return torch.autocast(self.device.type, enabled=False)

    # What the schedule remembers

    def validated(self, value: float) -> None:
        """Tells the schedule what a validation came to, higher is better; only "plateau" minds."""
        counts = self.trainer.state.fn == "fit" and not self.trainer.sanity_checking
        if self._schedule == "plateau" and counts and self._plateau.decays(value):
            rank_zero_info(f"The learning rate falls to {self._plateau.scale:g} of {self._learning_rate:g}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the plateau's state."""
        checkpoint["plateau"] = self._plateau.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes it back."""
        self._plateau = Plateau(**checkpoint["plateau"])
