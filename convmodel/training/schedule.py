"""A step's number, and what validations came to, in; its learning rate out."""

import math
from dataclasses import asdict, dataclass
from typing import Literal

Schedule = Literal["cosine", "linear", "constant", "plateau"]
"""How a learning rate falls after its warm-up."""


def learning_rate_at(
    step: int,
    *,
    peak: float,
    warmup_steps: int,
    total_steps: float,
    schedule: Schedule = "cosine",
    cycles: int = 1,
) -> float:
    """The learning rate of an optimiser step.

    It rises linearly to `peak` over the warm-up, then falls to 0 at `total_steps` along half a cosine or a line, or
    several of the same length one after the other. Source of these restarts: arXiv:1608.03983.

    Args:
        step: from 0.
        peak: the highest rate.
        warmup_steps: steps until it is reached.
        total_steps: steps of the whole training; where it is infinite, the rate stays at its peak.
        schedule: "cosine" or "linear"; "constant" and "plateau" stay at the peak.
        cycles: how often it falls.
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
    """Shrinks a learning rate whenever a validation is no better than the best before.

    ParlAI's recipe for bi- and poly-encoders (arXiv:1905.01969) shrinks it by 0.4 so.

    Args:
        factor: what it is multiplied with.
        best: the best validation so far, higher is better.
        scale: what it has been multiplied with so far.
    """

    factor: float = 0.4
    best: float = -math.inf
    scale: float = 1.0

    def decays(self, value: float) -> bool:
        """Takes a validation in; whether the rate fell."""
        if value > self.best:
            self.best = value
            return False
        self.scale *= self.factor
        return True

    def state(self) -> dict[str, float]:
        """What `Plateau(**state)` goes on from."""
        return asdict(self)
