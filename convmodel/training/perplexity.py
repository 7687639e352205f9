"""Summed losses of batches in, the loss per token, perplexities and the table of `test` out."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor

from convmodel.metrics.likelihood import TokenCounts, bits
from convmodel.tokens.batching import Batch
from convmodel.training.distributed import over_all_processes
from convmodel.training.optimization import OptimizedModule


@dataclass(frozen=True)
class CorpusStats:
    """What a file holds beside tokens.

    Args:
        noun: what it holds, in the plural.
        number: of them.
        units: what the loss is also divided by, by its name in the singular, such as words.
    """

    noun: str
    number: int
    units: Mapping[str, int] = field(default_factory=dict)


class PerplexityModule(OptimizedModule):
    """What is measured by the likelihood of texts, whatever else it learns from.

    Args:
        options: See `OptimizedModule`.
    """

    monitor = "val_loss"
    """What the best model is the best by."""

    higher_is_better = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._counts = TokenCounts()

    @abstractmethod
    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The summed loss of a batch in nats, and the number of predicted tokens."""

    @staticmethod
    def told(best: float) -> dict[str, float | int]:
        """The numbers of a model card whose best validation came to `best`."""
        return {
            "validation loss (nats per predicted token)": best,
            "validation perplexity (per predicted token)": math.exp(min(best, 700)),
        }

    def on_validation_epoch_start(self) -> None:
        """Starts the counts over."""
        self._counts = TokenCounts()

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Counts losses and tokens; nothing is divided before the end."""
        with self.full_precision():
            total, tokens = self(batch)
        self._counts.add(float(total), int(tokens))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Logs the loss per token over the whole set, and the perplexity; `validate` also prints a table."""
        self._report("val", "valid", with_table=self.trainer.state.fn == "validate")

    def on_test_epoch_end(self) -> None:
        """Logs the same for `test`, and prints a table."""
        self._report("test", "test", with_table=True)

    @abstractmethod
    def texts(self, split: Literal["valid", "test"]) -> CorpusStats | None:
        """What a file that was set up holds beside tokens; None where the data module does not know."""

    def _report(self, prefix: str, split: Literal["valid", "test"], *, with_table: bool) -> None:
        counts = over_all_processes(self._counts, self.trainer.strategy)
        if prefix == "val":
            self.validated(-counts.loss)
        found = {"loss": counts.loss, "perplexity": counts.perplexity}
        texts = self.texts(split) if with_table else None
        units = {} if texts is None else texts.units
        found |= {f"perplexity_per_{unit}": TokenCounts(counts.total, n).perplexity for unit, n in units.items()}
        if "byte" in units:
            found["bits_per_byte"] = float(bits(np.array([counts.total, units["byte"]])))
        for name, value in found.items():
            self.log(f"{prefix}_{name}", value, prog_bar=name == "loss", batch_size=1, rank_zero_only=True)
        if with_table and self.trainer.is_global_zero:
            rows = {} if texts is None else {texts.noun: f"{texts.number:,}"}
            rows |= {
                "predicted tokens": f"{counts.tokens:,}",
                "loss (nats per token)": f"{counts.loss:.4f}",
                "perplexity per token": f"{counts.perplexity:,.3f}",
            }
            rows |= {f"perplexity per {unit}": f"{found[f'perplexity_per_{unit}']:,.3f}" for unit in units}
            if "bits_per_byte" in found:
                rows["bits per byte"] = f"{found['bits_per_byte']:,.3f}"
            wide = max(map(len, rows.values()))
            print("\n".join(["", *(f"  {name:<24}{value:>{wide}}" for name, value in rows.items()), ""]), flush=True)
