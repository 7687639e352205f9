"""Base of the training modules: pretrained model, tokenizer, optimiser, learning rate and gradient clipping."""

import math
import os
from abc import abstractmethod
from dataclasses import asdict, is_dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import FSDPStrategy
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import Adadelta, Adamax, AdamW, Optimizer

from convmodel.generation.request import derive_seed
from convmodel.tokens.text_tokenizer import TextTokenizer
from convmodel.training.datamodules.base import NO_TOKENIZER, ModelInputs
from convmodel.training.muon import MuonAdamW
from convmodel.training.schedule import Plateau, Schedule, learning_rate_at
from convmodel.training.tokenizer import tokenizer_files, tokenizer_from

OptimizerName = Literal["adamw", "adamax", "adadelta"]
"""Optimisers of selectors. ParlAI's recipes for bi- and poly-encoders use Adamax, and ConveRT uses ADADELTA."""

WriterOptimizerName = Literal["adamw", "muon"]
"""Optimisers of language models: AdamW, or Muon for the matrices of the layers and AdamW for other weights."""


class TrainingModule(LightningModule):
    """Base of the training modules.

    An optimiser step depends only on its number, the seed and the gradients, so that a resumed run repeats it exactly.

    Args:
        pretrained_model_name_or_path: Model to fine-tune; None trains from scratch.
        default_learning_rate: Peak learning rate if `learning_rate` is null.
        optimizer_name: Optimiser, chosen by the derived class.
        learning_rate: Peak learning rate. If null, it depends on the model. Pretrained: 5e-5, or 2e-4 with adapters.
            From scratch: the smaller of 0.003 and 0.768 / n_embd for a language model, 0.001 for a selector. With
            ADADELTA: 1.
        warmup_steps: Number of optimiser steps until the peak is reached.
        schedule: Decay after warm-up: "cosine", "linear", "constant", or "plateau", which multiplies the rate by 0.4
            after each validation that is not better than the best one so far.
        cycles: Number of decays of "cosine" and "linear". Each further decay starts at the peak, without warm-up.
        weight_decay: Weight decay of matrices, including embeddings. Biases and layer norms have no weight decay.
        betas: Averaging coefficients of AdamW and Adamax.
    """

    def __init__(
        self,
        pretrained_model_name_or_path: str | None,
        *,
        default_learning_rate: float,
        optimizer_name: OptimizerName | WriterOptimizerName,
        learning_rate: float | None = None,
        warmup_steps: int = 100,
        schedule: Schedule = "cosine",
        cycles: int = 1,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        super().__init__()
        if cycles < 1:
            raise ValueError(f"model.cycles={cycles}; it must be at least 1")
        # Here, in the innermost `__init__`, so that the options of all derived classes are saved with their defaults.
        self.save_hyperparameters(ignore=["default_learning_rate", "optimizer_name"])
        # Checkpoints hold plain values only, not pickled objects.
        plain = {name: asdict(cast(Any, value)) for name, value in self.hparams.items() if is_dataclass(value)}
        self.hparams.update(plain, betas=list(betas))
        self._pretrained = pretrained_model_name_or_path
        self.base_model = pretrained_model_name_or_path
        """Name or folder of the pretrained model; None for a model from scratch."""
        self._tokenizer: TextTokenizer | None = None
        self._optimizer = optimizer_name
        self._learning_rate = default_learning_rate if learning_rate is None else learning_rate
        self._schedule: Schedule = schedule
        self._rate_at = partial(
            learning_rate_at, peak=self._learning_rate, warmup_steps=warmup_steps, schedule=schedule, cycles=cycles
        )
        self._weight_decay = weight_decay
        self._betas = (betas[0], betas[1])
        self._plateau = Plateau()
        self._total_steps = math.inf

    monitor: str
    """Metric by which the best model is selected."""

    higher_is_better: bool

    next_step: str
    """Advice on the exported model: a sentence with a command, in which `{folder}` stands for its folder."""

    # Model and tokenizer

    @property
    @abstractmethod
    def tokenizer_class(self) -> type[TextTokenizer]:
        """Class of the model's tokenizer."""

    @abstractmethod
    def _load_tokenizer(self, source: str) -> TextTokenizer:
        """Return the tokenizer of the pretrained model."""

    @property
    def tokenizer(self) -> TextTokenizer | None:
        """Tokenizer of the checkpoint or the pretrained model, or the one set by `connect`; None if not learned yet."""
        if self._tokenizer is None and self._pretrained is not None:
            self._tokenizer = self._load_tokenizer(self._pretrained)
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: TextTokenizer | None) -> None:
        self._tokenizer = tokenizer

    @property
    def vocabulary_options(self) -> dict[str, Any]:
        """Options of the tokenizer's `learn` that differ from its defaults."""
        return {}

    def use_inputs(self, inputs: ModelInputs) -> None:
        """Ignore the lengths of the data module; modules that save them with the model override this method."""

    def restore_from(self, checkpoint: dict[str, Any]) -> None:
        """Take tokenizer and sizes from a checkpoint, so that no vocabulary is learned and no base model is loaded."""
        state = checkpoint["convmodel"]
        self._tokenizer = tokenizer_from(state["tokenizer"], self.tokenizer_class)
        self.base_model = state["base_model"]

    @property
    @abstractmethod
    def inputs(self) -> ModelInputs:
        """Lengths that the model reads, and the turns that it learns to predict."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Maximum size of a learned vocabulary."""

    def _required_tokenizer(self) -> TextTokenizer:
        if self.tokenizer is None:
            raise ValueError(NO_TOKENIZER)
        return self.tokenizer

    # Optimiser

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by seed, epoch, batch and process, so that a resumed run draws the same masks."""
        torch.manual_seed(
            derive_seed(os.environ.get("PL_GLOBAL_SEED", "0"), self.current_epoch, batch_idx, self.global_rank)
        )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Set the learning rate of the step."""
        rate = self._plateau.scale * self._rate_at(self.trainer.global_step, total_steps=self._total_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        self.log("learning_rate", rate, batch_size=1)

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser. `on_before_optimizer_step` sets its learning rate."""
        matrices = self._layer_matrices() if self._optimizer == "muon" else []
        parameters = [p for p in self.parameters() if p.requires_grad and all(p is not matrix for matrix in matrices)]
        groups = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": self._weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        if self._optimizer == "adadelta":
            return Adadelta(groups, lr=self._learning_rate)
        if self._optimizer == "adamax":
            return Adamax(groups, lr=self._learning_rate, betas=self._betas)
        # With a gradient scaler, a fused optimiser would unscale the gradients only after they are clipped.
        fused = self.device.type in ("cpu", "cuda") and self.trainer.precision != "16-mixed"
        if self._optimizer == "muon":
            return MuonAdamW(
                matrices,
                groups,
                lr=self._learning_rate,
                weight_decay=self._weight_decay,
                betas=self._betas,
                fused=fused,
            )
        return AdamW(groups, lr=self._learning_rate, betas=self._betas, fused=fused)

    def _layer_matrices(self) -> list[Tensor]:
        """Return the weights that Muon updates."""
        raise NotImplementedError

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients by `trainer.gradient_clip_val`. Lightning's own method rejects fused optimisers and FSDP."""
        if not gradient_clip_val:
            return
        if gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        elif isinstance(self.trainer.strategy, FSDPStrategy):
            cast(FullyShardedDataParallel, self.trainer.strategy.model).clip_grad_norm_(gradient_clip_val)
        else:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_train_start(self) -> None:
        """Compute the number of steps, and set this run's weight decay and betas in a restored optimiser.

        In an earlier hook, asking for the number of steps would build the data loader before Lightning restores its
        position in the epoch.
        """
        self._total_steps = float(self.trainer.estimated_stepping_batches)
        if math.isinf(self._total_steps) and self._schedule in ("cosine", "linear"):
            rank_zero_info("Neither max_epochs nor max_steps is set: the learning rate stays constant after warm-up")
        *decaying, others = self.trainer.optimizers[0].param_groups
        for group in (*decaying, others):
            group["weight_decay"] = 0.0 if group is others else self._weight_decay
            if "betas" in group:
                group["betas"] = self._betas

    # Validation and test

    def full_precision(self) -> torch.autocast:
        """Return a context manager that disables autocast, because only training steps use mixed precision."""
        return torch.autocast(self.device.type, enabled=False)

    def on_test_epoch_start(self) -> None:
        self.on_validation_epoch_start()

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        self._report("val")

    def on_test_epoch_end(self) -> None:
        self._report("test")

    @abstractmethod
    def _report(self, prefix: Literal["val", "test"]) -> None:
        """Log the metrics of all processes; their names begin with `prefix`."""

    def update_plateau(self, value: float) -> None:
        """Pass a validation metric to the schedule "plateau"; higher is better. Other schedules ignore it."""
        counts = self.trainer.state.fn == "fit" and not self.trainer.sanity_checking
        if self._schedule == "plateau" and counts and self._plateau.decays(value):
            rank_zero_info(f"The learning rate falls to {self._plateau.scale:g} of {self._learning_rate:g}")

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save tokenizer, name of the base model and state of the schedule as plain values, without pickled objects."""
        checkpoint["plateau"] = asdict(self._plateau)
        tokenizer = tokenizer_files(self._required_tokenizer())
        checkpoint["convmodel"] = {"tokenizer": tokenizer, "base_model": self.base_model}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the state of the schedule, and build the model if the checkpoint is loaded without a trainer."""
        self._plateau = Plateau(**checkpoint["plateau"])
        if not self._is_built:
            self.restore_from(checkpoint)
            self.configure_model()

    @property
    @abstractmethod
    def _is_built(self) -> bool:
        """Whether the model has weights."""
