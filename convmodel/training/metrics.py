"""Metrics of validation and test: sums over all processes, perplexities and ranks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from pytorch_lightning.strategies import Strategy
from torch import Tensor

from convmodel.metrics.likelihood import TokenCounts, bits_per_character


def sum_token_counts(counts: TokenCounts, strategy: Strategy) -> TokenCounts:
    """Return the counts summed over all processes."""
    total, tokens = sum_over_processes([counts.total, counts.tokens], strategy)
    return TokenCounts(total, int(tokens))


def sum_over_processes(values: Sequence[float], strategy: Strategy) -> list[float]:
    """Return each value summed over all processes; every process gets the same result."""
    device = strategy.root_device
    dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
    reduced = strategy.reduce(torch.tensor(values, dtype=dtype, device=device), reduce_op="sum")
    assert isinstance(reduced, torch.Tensor)
    sums: list[float] = reduced.tolist()
    return sums


@dataclass(frozen=True)
class CorpusStats:
    """Number of examples of a file, and of other units, such as words.

    Args:
        noun: Plural name of the examples, such as "conversations".
        count: Number of examples.
        units: Number of units by their name, such as "word". A perplexity is computed per unit.
    """

    noun: str
    count: int
    units: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PerplexityReport:
    """Perplexities of a model on a file, per predicted token and per unit of the file.

    Args:
        counts: Summed loss in nats, and number of predicted tokens.
        corpus: Numbers of units of the file; None for the perplexity per token alone.
    """

    counts: TokenCounts
    corpus: CorpusStats | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Loss in nats per token, perplexity per token and per unit, and bits per byte if bytes were counted."""
        metrics = {"loss": self.counts.loss, "perplexity": self.counts.perplexity}
        for unit, count in self._units.items():
            metrics[f"perplexity_per_{unit}"] = TokenCounts(self.counts.total, count).perplexity
        if "byte" in self._units:
            metrics["bits_per_byte"] = float(bits_per_character(np.array([self.counts.total, self._units["byte"]])))
        return metrics

    def table(self) -> str:
        """Return the metrics as lines of text."""
        metrics = self.metrics
        rows = {} if self.corpus is None else {self.corpus.noun: f"{self.corpus.count:,}"}
        rows |= {
            "predicted tokens": f"{self.counts.tokens:,}",
            "loss (nats per token)": f"{self.counts.loss:.4f}",
            "perplexity per token": f"{self.counts.perplexity:,.3f}",
        }
        rows |= {f"perplexity per {unit}": f"{metrics[f'perplexity_per_{unit}']:,.3f}" for unit in self._units}
        if "bits_per_byte" in metrics:
            rows["bits per byte"] = f"{metrics['bits_per_byte']:,.3f}"
        width = max(map(len, rows.values()))
        return "\n".join(["", *(f"  {name:<24}{value:>{width}}" for name, value in rows.items()), ""])

    @property
    def _units(self) -> Mapping[str, int]:
        return {} if self.corpus is None else self.corpus.units


def perplexity_card(loss: float) -> dict[str, float | int]:
    """Return the entries of a model card for a validation loss in nats per token."""
    return {
        "validation loss (nats per predicted token)": loss,
        "validation perplexity (per predicted token)": math.exp(min(loss, 700)),
    }


@dataclass
class RankingSums:
    """Sums over examples: number of examples, number ranked first, sum of reciprocal ranks, and summed loss in nats."""

    examples: float = 0
    first: float = 0
    reciprocal: float = 0
    loss: float = 0

    def add(self, ranks: np.ndarray, losses: Tensor) -> None:
        """Add (N,) ranks, counted from 1, and (N,) losses of N examples."""
        self.examples += len(ranks)
        self.first += float((ranks == 1).sum())
        self.reciprocal += float((1 / ranks).sum())
        self.loss += float(losses.double().sum())
