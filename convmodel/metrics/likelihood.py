"""Loss, perplexity and bits per character, computed from summed negative log-likelihoods."""

import math
from dataclasses import dataclass

import numpy as np

from convmodel.metrics.metric import ratio

LARGEST_LOSS = 700.0
"""The largest loss whose exp is computed; above it the perplexity is infinite."""


@dataclass
class TokenCounts:
    """The summed loss of all predicted tokens, in nats, and their number."""

    total: float = 0.0
    tokens: int = 0

    def add(self, total: float, tokens: int) -> None:
        """Add the summed loss of a batch, in nats, and its number of predicted tokens."""
        self.total += total
        self.tokens += tokens

    @property
    def loss(self) -> float:
        """The mean loss in nats per predicted token; nan without tokens."""
        return self.total / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp of the loss; infinite if it overflows a float, nan without tokens."""
        return float(perplexity(np.array([self.total, self.tokens], dtype=np.float64)))


def perplexity(sums: np.ndarray) -> np.ndarray:
    """Return the perplexity (...), exp of the mean nats per token, of summed nats and numbers of tokens (..., 2).

    If words are counted instead of tokens, perplexities are comparable between vocabularies. A perplexity that
    overflows a float is infinite; without tokens it is nan.
    """
    loss = ratio(sums)
    return np.where(loss > LARGEST_LOSS, math.inf, np.exp(np.minimum(loss, LARGEST_LOSS)))


def bits_per_character(sums: np.ndarray) -> np.ndarray:
    """Return bits per character (...) of summed nats and characters (..., 2); nan without characters."""
    return ratio(sums) / math.log(2)
