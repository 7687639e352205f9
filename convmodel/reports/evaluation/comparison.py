"""Comparison of two models on the same examples by paired bootstrap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from convmodel.metrics.bootstrap import holm, p_value, percentile_interval, resample
from convmodel.metrics.metric import Metric
from convmodel.reports.evaluation.examples import EvaluationOptions
from convmodel.reports.evaluation.report import finite
from convmodel.reports.evaluation.task import EvaluationTask, Lines

SAME = "no difference found"
NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Difference:
    """Difference of a metric between two models. Numbers that are not finite are None.

    Args:
        name: name of the metric.
        better: direction in which the metric improves: "higher", "lower", or "nearer" to the gold replies.
        value: value of this model.
        other: value of the other model.
        difference: `value` minus `other`.
        low: lower bound of the confidence interval of the difference.
        high: upper bound of the confidence interval of the difference.
        p: p-value of the difference, adjusted for the number of metrics.
        verdict: "better" or "worse", if this model is significantly better or worse than the other. "higher" or "lower"
            for a significant difference, if neither model is significantly nearer to the gold replies. Otherwise "no
            difference found" or "not comparable".
    """

    name: str
    better: str
    value: float | None
    other: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Comparison of this model with another one on the same examples.

    Args:
        other: facts about the other model, as in its report, and the path `report` of the report.
        confidence: level of the intervals. A difference is significant if its p is below 1 - `confidence`.
        resamples: number of resamples of the bootstrap.
        seed: seed of the bootstrap.
        differences: differences of all metrics.
    """

    other: dict[str, Any]
    confidence: float
    resamples: int
    seed: int
    differences: Sequence[Difference]


def compare(
    task: EvaluationTask, this: Lines, other: Lines, *, other_model: dict[str, Any], options: EvaluationOptions
) -> Comparison:
    """Compare two models by paired bootstrap: both are evaluated on the same resamples of units.

    The metrics of both models are computed again from their lines, with the same options. If the number of resamples is
    too small to call even a difference in every resample significant, it is raised.

    Args:
        task: the task of both models.
        this: lines of this model's report.
        other: lines of the other model's report.
        other_model: facts about the other model; see `Comparison.other`.
        options: options of the evaluation.

    Raises:
        ValueError: if the models were evaluated on different examples.
    """
    task.check_comparable(this, other)
    these_groups = task.compute_metrics(this, options).groups
    other_groups = task.compute_metrics(other, options).groups
    min_resamples = math.ceil(4 * sum(map(len, these_groups)) / (1 - options.confidence))
    options = replace(options, resamples=max(options.resamples, min_resamples))
    pairs = [
        pair
        for these, others in zip(these_groups, other_groups, strict=True)
        for pair in _resample_pairs(these, others, options)
    ]
    adjusted = holm([p_value(pair.differences) for pair in pairs])
    rows = [_difference(pair, p, options.confidence) for pair, p in zip(pairs, adjusted, strict=True)]
    return Comparison(other_model, options.confidence, options.resamples, options.seed, rows)


class _MetricPair(NamedTuple):
    """A metric of this model and of the other, with R resamples.

    Args:
        this: metric of this model.
        other: metric of the other model.
        differences: (R,) differences of this model minus the other; nan if the models are not comparable.
        farther: (R,) distances of this model from the gold value minus those of the other; None without gold values.
    """

    this: Metric
    other: Metric
    differences: np.ndarray
    farther: np.ndarray | None


def _resample_pairs(these: Sequence[Metric], others: Sequence[Metric], options: EvaluationOptions) -> list[_MetricPair]:
    golds = [metric.gold for metric in these if metric.gold is not None]
    values = resample([*these, *others, *golds], resamples=options.resamples, seed=options.seed)
    these_values = values[: len(these)]
    other_values = values[len(these) : 2 * len(these)]
    gold_values = iter(values[2 * len(these) :])
    pairs = []
    for this, other, a, b in zip(these, others, these_values, other_values, strict=True):
        comparable = this.shared is None or np.array_equal(this.rows[:, this.shared], other.rows[:, this.shared])
        with np.errstate(invalid="ignore"):  # infinity minus infinity is nan
            differences = a - b if comparable else np.full_like(a, math.nan)
            gold = next(gold_values) if this.gold is not None else None
            farther = None if gold is None else np.abs(a - gold) - np.abs(b - gold)
        pairs.append(_MetricPair(this, other, differences, farther))
    return pairs


def _difference(pair: _MetricPair, p: float, confidence: float) -> Difference:
    low, high = map(finite, percentile_interval(pair.differences, confidence))
    comparable = not math.isnan(p)
    return Difference(
        name=pair.this.name,
        better=pair.this.better,
        value=finite(pair.this.value),
        other=finite(pair.other.value),
        difference=finite(pair.this.value - pair.other.value) if comparable else None,
        low=low,
        high=high,
        p=finite(p),
        verdict=_verdict(pair, p, 1 - confidence) if comparable else NOT_COMPARABLE,
    )


def _verdict(pair: _MetricPair, p: float, level: float) -> str:
    if p >= level:
        return SAME
    direction = "higher" if pair.this.value > pair.other.value else "lower"
    if pair.this.better != "nearer":
        return "better" if direction == pair.this.better else "worse"
    assert pair.farther is not None, "a metric that improves towards gold has gold numbers"
    if p_value(pair.farther) >= level:
        return direction
    return "worse" if np.median(pair.farther) > 0 else "better"
