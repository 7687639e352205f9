"""Loss per token, perplexities and bits per byte of a file, as metrics and as a table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from convmodel.metrics.likelihood import TokenCounts, bits_per_character


@dataclass(frozen=True)
class CorpusStats:
    """Number of examples of a file, and the numbers of other units, such as words, by which the loss is divided."""

    noun: str
    count: int
    units: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PerplexityReport:
    """Perplexities of a model on a file: the summed loss in nats over predicted tokens, and over the file's units."""

    counts: TokenCounts
    corpus: CorpusStats | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Loss in nats per token, perplexity per token and per unit, and bits per byte where bytes were counted."""
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
