"""The memory of a step, told once."""

import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convmodel.training.memory import StepMemory, peak_memory, reset_peak

CPU = torch.device("cpu")


def test_the_peak_is_that_since_the_reset() -> None:
    reset_peak(CPU)
    before = peak_memory(CPU)
    block = torch.ones(64 * 2**20)  # 256 MiB
    assert peak_memory(CPU) >= before + 0.9 * block.nbytes
    del block


def test_the_memory_is_told_once_after_the_first_step(caplog: pytest.LogCaptureFixture) -> None:
    accumulating = [True, False, False, False]
    trainer: Any = SimpleNamespace(
        strategy=SimpleNamespace(root_device=CPU),
        fit_loop=SimpleNamespace(_should_accumulate=lambda: accumulating.pop(0)),
    )
    callback = StepMemory()
    with caplog.at_level(logging.INFO, logger="pytorch_lightning"):
        callback.on_train_batch_start(trainer, Any, None, 0)  # type: ignore[arg-type]
        block = torch.ones(96 * 2**20)  # 384 MiB, as of a step
        del block
        callback.on_train_batch_end(trainer)
        assert not caplog.messages
        callback.on_train_batch_end(trainer)
        callback.on_train_batch_end(trainer)
    assert len(caplog.messages) == 1
    assert re.fullmatch(r"memory: a step takes 0\.[3-6] GiB beside \d+\.\d GiB for the model", caplog.messages[0])
