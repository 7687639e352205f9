"""Learning rate schedules: a function of the step, and decay on a plateau of the validation metric."""

import math
from dataclasses import dataclass
from typing import Literal

Schedule = Literal["cosine", "linear", "constant", "plateau"]
"""Shape of the learning rate's decay after warm-up."""


def learning_rate_at(
    step: int, *, peak: float, warmup_steps: int, total_steps: float, schedule: Schedule = "cosine", cycles: int = 1
) -> float:
    """Return the learning rate of an optimiser step.

    The rate rises linearly to `peak` during warm-up, then falls to 0 at `total_steps` along a half cosine or a straight
    line. With several `cycles`, it falls to 0 several times in equal numbers of steps, each time from the peak. If the
    schedule is "constant" or "plateau", or `total_steps` is infinite, it stays at the peak. `step` is counted from 0.
    Source of the restarts: arXiv:1608.03983.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if schedule in ("constant", "plateau") or math.isinf(total_steps):
        return peak
    done = cycles * min(1.0, (step - warmup_steps) / max(1.0, total_steps - warmup_steps))
    left = math.floor(done) + 1 - done if done < cycles else 0.0
    return peak * (left if schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left))


@dataclass
class Plateau:
    """Learning rate decay whenever a validation metric does not exceed its best value so far; higher is better.

    ParlAI's recipe for bi- and poly-encoders (arXiv:1905.01969) uses this decay with a factor of 0.4.

    Args:
        factor: Factor of each decay.
        best: Best value of the metric so far.
        scale: Product of the decays so far, by which the learning rate is multiplied.
    """

    factor: float = 0.4
    best: float = -math.inf
    scale: float = 1.0

    def decays(self, value: float) -> bool:
        """Record a value of the metric; multiply `scale` by `factor` and return True if it is not the best so far."""
        if value > self.best:
            self.best = value
            return False
        self.scale *= self.factor
        return True
