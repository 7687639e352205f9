"""The jackknife: the influence of each unit on statistics of counts that are not sums over units.

The bootstrap is biased for statistics such as the number of distinct words: a resample lacks more than a third of the
units, so that it has far fewer distinct words than the sample, and the percentiles may even exclude the value itself.
The bootstrap therefore resamples the influences of the units, which can be summed. The influence of a unit is the
jackknife's pseudo-value U x - (U - 1) x_without_unit, where x is the statistic of all U units. By the inequality of
Efron and Stein (1981), the variance of the influences is not too small on average.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 11. For the number of species this
is the jackknife of Heltshe and Forrester 1983.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import numpy as np

Term = Callable[[np.ndarray], np.ndarray]
"""A function from the counts of types (distinct items) to the terms of a sum, one per type; 0 for a count of 0."""

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A function from the sum of all terms and the sum of all counts to the value of the statistic."""


def jackknife(unit_counts: Sequence[Counter[Hashable]], term: Term, statistic: Statistic) -> tuple[float, np.ndarray]:
    """Return the statistic of all U units, and the units' pseudo-values (U,).

    `unit_counts` has the number of occurrences of each type in each unit. The pseudo-values are shifted such that their
    mean is the statistic.
    """
    all_counts: Counter[Hashable] = Counter()
    for unit in unit_counts:
        all_counts.update(unit)
    positions = {kind: position for position, kind in enumerate(all_counts)}
    counts = np.fromiter(all_counts.values(), dtype=np.float64, count=len(all_counts))
    total = float(term(counts).sum())
    size = float(counts.sum())
    without = np.empty((len(unit_counts), 2))
    for i, unit in enumerate(unit_counts):
        affected = counts[[positions[kind] for kind in unit]]
        own = np.fromiter(unit.values(), dtype=np.float64, count=len(unit))
        without[i, 0] = total + float((term(affected - own) - term(affected)).sum())
        without[i, 1] = size - float(own.sum())
    value = float(statistic(np.array(total), np.array(size)))
    left_out = statistic(without[:, 0], without[:, 1])
    left_out = np.where(np.isnan(left_out), value, left_out)  # nothing remains without the unit
    influences = len(left_out) * value - (len(left_out) - 1) * left_out
    return value, influences - (influences.mean() if len(left_out) else 0.0) + value


def presence(counts: np.ndarray) -> np.ndarray:
    """Return 1 for each type that occurs, else 0; the sum is the number of distinct types."""
    return (counts > 0).astype(np.float64)


def c_log_c(counts: np.ndarray) -> np.ndarray:
    """Return c log c for each count c, the terms of an entropy; 0 for 0."""
    terms: np.ndarray = counts * np.log(np.maximum(counts, 1.0))
    return terms


def repeated_count(counts: np.ndarray) -> np.ndarray:
    """Return the count of each type that occurs more than once, else 0."""
    return np.where(counts > 1, counts, 0.0)


def share(total: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the total of the terms divided by the sum of counts; nan for no counts."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 0, total / size, math.nan)


def entropy(total: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the entropy log n - (sum of c log c) / n in nats, of n counts; nan for no counts."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 0, np.maximum(np.log(size) - total / size, 0.0), math.nan)
