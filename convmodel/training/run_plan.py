"""Choose the size of a new model, its training and the expected time from the size of the data and the machine."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, PreTrainedModel

from convmodel.models.devices import best_device, resolve_dtype
from convmodel.models.from_scratch import DROPOUTS, FromScratch
from convmodel.training.muon import MuonAdamW, layer_matrices

CHARACTERS_PER_TOKEN = 4.0
"""Characters of a token of a vocabulary that was learned from the data: an estimate for alphabetic scripts."""

MIN_TOKENS_READ = 1_200_000
"""Tokens that a new model reads in training at least, in several passes over small data."""

MIN_PASSES = 3
MAX_PASSES = 30

DROPOUT_PASSES = 5
"""Number of passes above which dropout is used, because the model sees the same texts many times."""

OVERHEAD = 1.3
"""Time of a run divided by the time of its training steps: reading, padding, validation, samples and export."""

TIMED_STEPS = 3
TIMED_TOKENS = 512


@dataclass(frozen=True)
class ModelSize:
    """A size of model, and the data that it is for.

    Args:
        max_tokens: number of training tokens up to which the size is chosen.
        n_layer, n_embd, n_head, n_positions, vocab_size: see `FromScratch`.
        tokens_per_batch: tokens of a training step.
    """

    max_tokens: float
    n_layer: int
    n_embd: int
    n_head: int
    n_positions: int
    vocab_size: int
    tokens_per_batch: int

    def architecture(self, *, dropout: float) -> FromScratch:
        """Return the sizes as options of a new model."""
        names = ("n_layer", "n_embd", "n_head", "n_positions", "vocab_size")
        options: dict[str, Any] = {name: getattr(self, name) for name in names}
        return FromScratch(**options | dict.fromkeys(DROPOUTS, dropout))


SIZES = (
    ModelSize(500_000, 2, 256, 4, 256, 2048, 1024),
    ModelSize(5_000_000, 4, 256, 4, 512, 4096, 1024),
    ModelSize(50_000_000, 6, 384, 6, 512, 8192, 2048),
    ModelSize(float("inf"), 12, 768, 12, 1024, 16384, 8192),
)
"""Sizes of new models, smallest first. The table is repeated in docs/training.md."""


@dataclass(frozen=True)
class RunPlan:
    """A training run that was chosen for some data and this machine.

    Args:
        size: the size of the model.
        parameters: number of parameters of the model.
        tokens: estimated number of training tokens.
        steps: number of optimiser steps.
        passes: number of passes over the data; a part of one if the time does not suffice.
        tokens_per_second: measured speed of training steps on this machine.
        minutes: expected duration of the run.
    """

    size: ModelSize
    parameters: int
    tokens: int
    steps: int
    passes: float
    tokens_per_second: float
    minutes: float

    def options(self, *, validation: bool) -> dict[str, Any]:
        """Return the options of the trainer, by section, as in a config file."""
        per_pass = max(1, round(self.tokens / self.size.tokens_per_batch))
        dropout = 0.1 if self.passes > DROPOUT_PASSES else 0.0
        architecture = vars(self.size.architecture(dropout=dropout))
        trainer: dict[str, Any] = {"max_steps": self.steps, "max_epochs": math.ceil(self.passes) + 1}
        if validation:
            interval = max(1, min(per_pass, self.steps // 6))
            trainer |= {"val_check_interval": interval, "check_val_every_n_epoch": None}
        return {
            "data": {"tokens_per_batch": self.size.tokens_per_batch},
            "model": {
                "from_scratch": {name: value for name, value in architecture.items() if value is not None},
                "warmup_steps": max(1, min(100, self.steps // 10)),
            },
            "trainer": trainer,
        }

    def __str__(self) -> str:
        """Describe the run in two lines."""
        size = self.size
        passes = f"{self.passes:.0f} passes" if self.passes >= 1.5 else f"{self.passes:.0%} of the data"
        return (
            f"model: a new GPT-2 of {size.n_layer} layers and width {size.n_embd}, "
            f"{self.parameters / 1e6:.1f} million parameters\n"
            f"training: {passes}, {self.steps:,} steps of {size.tokens_per_batch:,} tokens; about "
            f"{max(1, round(self.minutes))} min on this machine ({self.tokens_per_second:,.0f} tokens/s)"
        )


def plan_run(characters: int, *, minutes: float) -> RunPlan:
    """Choose the largest suitable model that reads the data `MIN_PASSES` times within some minutes, and its training.

    If even the smallest model cannot, the run is cut to the given time.

    Args:
        characters: number of characters of the training turns.
        minutes: the longest duration of the run.
    """
    tokens = max(1, round(characters / CHARACTERS_PER_TOKEN))
    passes = min(MAX_PASSES, max(MIN_PASSES, MIN_TOKENS_READ / tokens))
    suitable = [size for size in SIZES if tokens > size.max_tokens]
    for size in reversed(SIZES[: len(suitable) + 1]):
        speed, parameters = measure_speed(size)
        most = speed * minutes * 60 / OVERHEAD
        if most >= MIN_PASSES * tokens or size is SIZES[0]:
            break
    read = min(passes * tokens, most)
    steps = max(1, round(read / size.tokens_per_batch))
    return RunPlan(size, parameters, tokens, steps, read / tokens, speed, read / speed * OVERHEAD / 60)


def measure_speed(size: ModelSize) -> tuple[float, int]:
    """Return the tokens per second of training steps on this machine, measured briefly, and the model's parameters."""
    device = best_device()
    config = size.architecture(dropout=0.0).config(vocab_size=size.vocab_size, sep_token_id=0)
    model = AutoModelForCausalLM.from_config(config).to(device).train()
    length = min(128, size.n_positions)
    ids = torch.arange(TIMED_TOKENS, device=device).remainder(size.vocab_size).view(-1, length)
    mask = torch.ones_like(ids)  # transformers warns without one
    dtype = resolve_dtype("auto", device, "training")
    optimizer = _optimizer(model)
    computing = []
    stepping = []
    for _ in range(TIMED_STEPS):
        start = time.perf_counter()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            logits = model(input_ids=ids, attention_mask=mask).logits
            loss = cross_entropy(logits.flatten(0, 1).float(), ids.flatten())
        loss.backward()
        float(loss.detach())  # waits for the device
        middle = time.perf_counter()
        optimizer.step()
        float(ids[0, 0])  # waits for the device
        computing.append(middle - start)
        stepping.append(time.perf_counter() - middle)
    seconds = min(computing[1:]) * size.tokens_per_batch / TIMED_TOKENS + min(stepping[1:])
    return size.tokens_per_batch / seconds, model.num_parameters()


def _optimizer(model: PreTrainedModel) -> MuonAdamW:
    """Return the default optimiser of a new model."""
    matrices = layer_matrices(model, None)
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return MuonAdamW(matrices, [{"params": others}], lr=0.0, weight_decay=0.0, betas=(0.9, 0.95), fused=False)


def fine_tuning_options(*, validation: bool) -> Mapping[str, Any]:
    """Return options for fine-tuning with LoRA: those of examples/smollm2-lora.yaml, at half its learning rate."""
    trainer: dict[str, Any] = {"max_epochs": 3}
    if validation:
        trainer["val_check_interval"] = 0.5
    return {
        "data": {"tokens_per_batch": 512, "max_length": 512},
        "model": {"lora": {"r": 8, "alpha": 16}, "learning_rate": 0.001, "warmup_steps": 20},
        "trainer": trainer,
    }
