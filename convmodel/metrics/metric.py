"""The Metric class: the counts of each unit are summed over units, then divided, so that units can be resampled."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Divide = Callable[[np.ndarray], np.ndarray]
"""A function from summed counts (..., K) to values (...)."""

Better = Literal["higher", "lower", "nearer"]
"""The values of a metric that are better: higher, lower, or nearer to the value of the gold replies."""


@dataclass(frozen=True)
class Metric:
    """A metric computed from sums over U units, the units of the bootstrap.

    Args:
        name, family, meaning: the name, the heading in reports, and a one-line description.
        rows: (U, K) the counts of each unit.
        divide: a function from the K sums to the value; it returns nan if the denominator is 0.
        better: the values that are better; "nearer" needs `gold_rows`.
        gold_rows: (U, K) the counts with the gold replies in place of the model's, if the metric needs no reference.
        shared: the index of a column of `rows`; two models are comparable only if their columns are equal.
    """

    name: str
    rows: np.ndarray
    divide: Divide
    better: Better = "higher"
    gold_rows: np.ndarray | None = None
    family: str = ""
    meaning: str = ""
    shared: int | None = None

    @property
    def value(self) -> float:
        """The value over all units; nan if the denominator is 0."""
        return float(self.divide(self.rows.sum(axis=0, dtype=np.float64)))

    @property
    def gold(self) -> "Metric | None":
        """The metric of the gold replies; None without `gold_rows`."""
        return None if self.gold_rows is None else replace(self, rows=self.gold_rows, gold_rows=None)


def sum_by_unit(counts: Sequence[Sequence[float]], units: Sequence[int], *, columns: int) -> np.ndarray:
    """Return the sums (U, K) of the examples' counts over each unit, where K is `columns`.

    `counts` has K counts for each example; `units` has the index of each example's unit, from 0, in ascending order.
    """
    rows = np.zeros((units[-1] + 1 if len(units) else 0, columns))
    np.add.at(rows, np.asarray(units, dtype=np.int64), np.asarray(counts, dtype=np.float64).reshape(-1, columns))
    return rows


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return the first of two sums (..., 2) divided by the second: a mean or a share; nan if the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], math.nan)
