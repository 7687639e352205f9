"""Metrics in, how far chance could have moved them out: intervals of one model, differences of two.

Units (conversations) are drawn with replacement, as many as there are; all metrics and both models are computed on the
same draws. Source: Efron 1979; for two systems on the same examples Koehn 2004, "Statistical Significance Tests for
Machine Translation Evaluation".
"""

import math
from collections.abc import Sequence

import numpy as np

from convmodel.metrics.metric import Metric

CHUNK = 1 << 22
"""Draws that are held at once."""


def resampled(metrics: Sequence[Metric], *, resamples: int, seed: int) -> list[np.ndarray]:
    """The values of metrics over drawn units: for each metric (R,), nan where a draw has nothing to measure.

    With a single unit all are nan.

    Args:
        metrics: all over the same U units.
        resamples: R.
        seed: the same seed and number of units give the same draws.
    """
    if not metrics or len(metrics[0].rows) < 2:  # one unit is drawn again and again: of its chance nothing is known
        return [np.full(resamples, math.nan) for _ in metrics]
    rows = np.concatenate([metric.rows for metric in metrics], axis=1)
    sums = np.empty((resamples, rows.shape[1]))
    random = np.random.default_rng([seed, len(rows)])
    size = max(1, CHUNK // len(rows))
    for start in range(0, resamples, size):
        part = sums[start : start + size]
        part[:] = _drawn(random, len(part), len(rows)) @ rows
    stops = np.cumsum([metric.rows.shape[1] for metric in metrics])[:-1]
    return [metric.divide(mine) for metric, mine in zip(metrics, np.split(sums, stops, axis=1), strict=True)]


def _drawn(random: np.random.Generator, resamples: int, units: int) -> np.ndarray:
    """(resamples, units) how often each unit is drawn."""
    picked = random.integers(units, size=(resamples, units)) + units * np.arange(resamples)[:, None]
    return np.bincount(picked.ravel(), minlength=resamples * units).reshape(resamples, units).astype(np.float64)


def interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """The percentile interval of resampled values; nan, nan where none of them is a number."""
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan
    known = np.sort(known)
    tail = (1 - confidence) / 2
    # Neighbours are not interpolated: between a number and infinity there is none.
    low, high = (known[round(share * (len(known) - 1))] for share in (tail, 1 - tail))
    return float(low), float(high)


def p_value(differences: np.ndarray) -> float:
    """How probable so clear a difference would be if there were none, two-sided.

    Twice the share of resamples on the far side of 0, with the observed one counted in, so that it agrees with the
    interval. Resamples without any difference count against it on both sides.
    """
    known = differences[~np.isnan(differences)]
    if not len(known):
        return math.nan
    fewer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(known) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values for as many questions asked at once: the chance that any difference is called real and is not.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure". nan stays nan and is not counted.
    """
    order = sorted((p, number) for number, p in enumerate(p_values) if not math.isnan(p))
    adjusted = list(p_values)
    highest = 0.0
    for rank, (p, number) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[number] = highest
    return adjusted
