"""Losses and tokens in, their mean over all batches and processes out."""

import math
from dataclasses import dataclass

import torch
from pytorch_lightning.strategies import Strategy


@dataclass
class TokenCounts:
    """Sums that are divided once, at the end.

    Args:
        total: nats of all predicted tokens.
        tokens: how many were predicted.
    """

    total: float = 0.0
    tokens: int = 0

    def add(self, total: float, tokens: int) -> None:
        """Counts a batch."""
        self.total += total
        self.tokens += tokens

    @property
    def loss(self) -> float:
        """Nats per predicted token; nan for none."""
        return self.total / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp of the loss; infinite where a float cannot hold it, nan for no tokens."""
        return math.inf if self.loss > 700 else math.exp(self.loss)

    def over_all_processes(self, strategy: Strategy) -> "TokenCounts":
        """The sums over all processes, the same in each of them."""
        device = strategy.root_device
        exact = torch.float32 if device.type == "mps" else torch.float64
        sums = torch.tensor([self.total, self.tokens], dtype=exact, device=device)
        reduced = strategy.reduce(sums, reduce_op="sum")
        assert isinstance(reduced, torch.Tensor)
        total, tokens = reduced.tolist()
        return TokenCounts(total, int(tokens))
