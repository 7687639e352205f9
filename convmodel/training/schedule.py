"""A step's number in, its learning rate out: nothing to save, nothing to restore."""

import math
from typing import Literal

Schedule = Literal["cosine", "linear", "constant"]


def learning_rate_at(
    step: int, *, peak: float, warmup_steps: int, total_steps: float, schedule: Schedule = "cosine"
) -> float:
    """The learning rate of an optimiser step.

    It rises linearly to `peak` over the warm-up, then falls to 0 at `total_steps` along half a cosine or a line.

    Args:
        step: from 0.
        peak: the highest rate.
        warmup_steps: steps until it is reached.
        total_steps: steps of the whole training; where it is infinite, the rate stays at its peak.
        schedule: "cosine", "linear" or "constant".
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if schedule == "constant" or math.isinf(total_steps):
        return peak
    left = 1 - min(1.0, (step - warmup_steps) / max(1.0, total_steps - warmup_steps))
    return peak * (left if schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left))
