"""Losses and what they are losses of in, loss and perplexity out; everything stays in log space until the end."""

import math
from dataclasses import dataclass

import numpy as np

from convmodel.metrics.metric import ratio

LARGEST_LOSS = 700.0
"""exp of more than this is infinite."""


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
        return float(perplexity(np.array([self.total, self.tokens], dtype=np.float64)))


def perplexity(sums: np.ndarray) -> np.ndarray:
    """exp of nats per token, or per word: perplexity per word compares models whose vocabularies differ.

    Args:
        sums: (..., 2) nats, and the tokens or words that they are of.

    Returns:
        (...) infinite where a float cannot hold it, nan where there are none.
    """
    loss = ratio(sums)
    return np.where(loss > LARGEST_LOSS, math.inf, np.exp(np.minimum(loss, LARGEST_LOSS)))


def bits(sums: np.ndarray) -> np.ndarray:
    """(..., 2) nats and characters in, (...) bits per character out; nan for none."""
    return ratio(sums) / math.log(2)
