"""Counts of many units in, one number out: summed first, divided once, so that any weighting can be tried."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Divide = Callable[[np.ndarray], np.ndarray]
"""(..., K) summed counts in, (...) numbers out."""

Better = Literal["higher", "lower", "nearer"]
"""Which numbers are better: higher ones, lower ones, or those nearer to that of the gold replies."""


@dataclass(frozen=True)
class Metric:
    """A number that is made of sums over U units: what is drawn again by the bootstrap is a unit.

    Args:
        name: as it stands in reports.
        rows: (U, K) the counts of each unit.
        divide: makes the number of the K sums; nan where there is nothing to measure.
        better: which numbers are better; "nearer" needs `gold_rows`.
        gold_rows: (U, K) the counts of the gold replies, where the number can be told of them alone.
        family: the heading under which it stands.
        meaning: what it says, in one sentence.
        shared: the column of `rows` that two models must have in common to be compared, where there is one.
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
        """The number over all units; nan where there are none."""
        return float(self.divide(self.rows.sum(axis=0, dtype=np.float64)))

    @property
    def gold(self) -> "Metric | None":
        """The same metric of the gold replies, where there is one."""
        return None if self.gold_rows is None else replace(self, rows=self.gold_rows, gold_rows=None)


def rows_of(counts: Sequence[Sequence[float]], units: Sequence[int], *, columns: int) -> np.ndarray:
    """(U, K) the counts that belong to each unit, summed.

    Args:
        counts: K counts for each of E examples.
        units: which unit each example belongs to, from 0 on, in ascending order.
        columns: K, for when there is no example.
    """
    rows = np.zeros((units[-1] + 1 if len(units) else 0, columns))
    np.add.at(rows, np.asarray(units, dtype=np.int64), np.asarray(counts, dtype=np.float64).reshape(-1, columns))
    return rows


def ratio(sums: np.ndarray) -> np.ndarray:
    """The first of two sums divided by the second: a mean, or a share."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], math.nan)
