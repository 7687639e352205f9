"""The Metric class: counts of units that are summed first and divided once, so that units can be resampled."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Divide = Callable[[np.ndarray], np.ndarray]
"""A function from summed counts (..., K) to values (...)."""

Better = Literal["higher", "lower", "nearer"]
"""The better direction of a metric: higher, lower, or nearer to the value of the gold replies."""


@dataclass(frozen=True)
class Metric:
    """A metric computed from sums over U units, the units of the bootstrap.

    Args:
        name, family, meaning: the name, the heading in reports, and a one-sentence description.
        rows: (U, K) the counts of each unit.
        divide: a function from the K sums to the value; nan without anything to measure.
        better: the better direction; "nearer" needs `gold_rows`.
        gold_rows: (U, K) the counts of the gold replies, if the metric is defined for them alone.
        shared: the column of `rows` that must be equal for two models to be comparable, if any.
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
        """The value over all units; nan without units."""
        return float(self.divide(self.rows.sum(axis=0, dtype=np.float64)))

    @property
    def gold(self) -> "Metric | None":
        """The metric of the gold replies, if it is defined."""
        return None if self.gold_rows is None else replace(self, rows=self.gold_rows, gold_rows=None)


def sum_by_unit(counts: Sequence[Sequence[float]], units: Sequence[int], *, columns: int) -> np.ndarray:
    """Return the K = `columns` counts of each example summed by unit, (U, K).

    `units` has the index of the unit of each example, counted from 0, in ascending order.
    """
    rows = np.zeros((units[-1] + 1 if len(units) else 0, columns))
    np.add.at(rows, np.asarray(units, dtype=np.int64), np.asarray(counts, dtype=np.float64).reshape(-1, columns))
    return rows


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return the first of two sums (..., 2) divided by the second, as a mean or a share; nan if the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], math.nan)
