"""Bootstrap resampling of metrics: confidence intervals of one model, and significance of differences of two.

Each resample draws as many units (conversations) as there are, with replacement; all metrics of both models are
computed on the same resamples.

Source: Efron 1979; for two systems on the same examples Koehn 2004, "Statistical Significance Tests for Machine
Translation Evaluation".
"""

import math
from collections.abc import Sequence

import numpy as np

from convmodel.metrics.metric import Metric

CHUNK = 1 << 22
"""The maximum number of draws in memory at once."""


def resample(metrics: Sequence[Metric], *, resamples: int, seed: int) -> list[np.ndarray]:
    """Return, for each metric, its values (R,) on R resamples of the units. All metrics must have the same units.

    A value is nan if the denominator of the metric is 0 in the resample. With a single unit all values are nan.
    Equal seeds and numbers of units give equal resamples.
    """
    if not metrics or len(metrics[0].rows) < 2:  # all resamples of a single unit are equal
        return [np.full(resamples, math.nan) for _ in metrics]
    rows = np.concatenate([metric.rows for metric in metrics], axis=1)
    sums = np.empty((resamples, rows.shape[1]))
    random = np.random.default_rng([seed, len(rows)])
    size = max(1, CHUNK // len(rows))
    for start in range(0, resamples, size):
        part = sums[start : start + size]
        picked = random.integers(len(rows), size=(len(part), len(rows))) + len(rows) * np.arange(len(part))[:, None]
        draws = np.bincount(picked.ravel(), minlength=picked.size).reshape(picked.shape)  # of each unit
        part[:] = draws.astype(np.float64) @ rows
    stops = np.cumsum([metric.rows.shape[1] for metric in metrics])[:-1]
    return [metric.divide(part) for metric, part in zip(metrics, np.split(sums, stops, axis=1), strict=True)]


def percentile_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of resampled values; (nan, nan) if all of them are nan."""
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    # Neighbours are not interpolated: no value lies between a number and infinity.
    low, high = (known[round(share * (len(known) - 1))] for share in (tail, 1 - tail))
    return float(low), float(high)


def p_value(differences: np.ndarray) -> float:
    """Return the two-sided p-value of a difference, from its resampled values.

    The p-value is twice the share of resamples with a sign opposite to that of most resamples. The observed value is
    counted as one more resample. The p-value therefore agrees with the percentile interval. Resamples with a difference
    of 0 count on both sides. Without resamples other than nan it is nan.
    """
    known = differences[~np.isnan(differences)]
    if not len(known):
        return math.nan
    fewer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(known) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for multiple tests, such that the family-wise error rate is controlled.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure". nan stays nan and is not
    counted as a test.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted = list(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[i] = highest
    return adjusted
