"""The lines of two models on the same examples in, which of their differences are real out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convmodel.evaluation.examples import Options
from convmodel.evaluation.kind import Kind, Lines
from convmodel.evaluation.report import finite
from convmodel.metrics.bootstrap import holm, interval, p_value, resampled
from convmodel.metrics.metric import Metric

SAME = "no difference found"
NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Difference:
    """A metric of two models; None stands for what is no finite number.

    Args:
        name: of the metric.
        better: which direction is better; None where neither is.
        value: of this model.
        other: of the other.
        difference: `value - other`.
        low, high: the bounds of its interval.
        p: how probable so clear a difference would be if there were none, for all metrics of the table together.
        verdict: "better" or "worse" (this model than the other), "higher" or "lower" where neither is better,
            "no difference found", or "not comparable".
    """

    name: str
    better: str | None
    value: float | None
    other: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Two models on the same examples.

    Args:
        other: what the other model was, as in its report, and where that `report` lay.
        confidence: of the intervals; a verdict is given where p is below 1 less this.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        differences: metric by metric.
    """

    other: dict[str, Any]
    confidence: float
    resamples: int
    seed: int
    differences: Sequence[Difference]


def compare(kind: Kind, mine: Lines, theirs: Lines, *, other: dict[str, Any], options: Options) -> Comparison:
    """Compares by paired bootstrap: both are computed on the same draws of conversations.

    Both models' numbers are made from their lines here and now, by the same rules.

    Args:
        kind: of both models.
        mine: the lines of this model.
        theirs: of the other.
        other: what the other model was.
        options: seed, confidence and what the metrics need are used; resamples too, but never so few that even a
            difference in all of them could not be told from chance.

    Raises:
        ValueError: when the examples are not the same.
    """
    kind.alike(mine, theirs)
    groups = list(zip(kind.find(mine, options).groups, kind.find(theirs, options).groups, strict=True))
    fewest = math.ceil(4 * sum(len(group) for group, _ in groups) / (1 - options.confidence))
    options = replace(options, resamples=max(options.resamples, fewest))
    found = [_paired(group, others, options) for group, others in groups]
    pairs = [pair for group in found for pair in group]
    adjusted = holm([p_value(differences) for _, _, differences in pairs])
    rows = [
        _difference(one, two, differences, p, options.confidence)
        for (one, two, differences), p in zip(pairs, adjusted, strict=True)
    ]
    return Comparison(other, options.confidence, options.resamples, options.seed, rows)


Pair = tuple[Metric, Metric, np.ndarray]


def _paired(mine: Sequence[Metric], theirs: Sequence[Metric], options: Options) -> list[Pair]:
    values = resampled([*mine, *theirs], resamples=options.resamples, seed=options.seed)
    with np.errstate(invalid="ignore"):  # infinity less infinity is no number
        return [
            (one, two, a - b if _comparable(one, two) else np.full_like(a, math.nan))
            for one, two, a, b in zip(mine, theirs, values[: len(mine)], values[len(mine) :], strict=True)
        ]


def _comparable(one: Metric, two: Metric) -> bool:
    return one.shared is None or np.array_equal(one.rows[:, one.shared], two.rows[:, one.shared])


def _difference(one: Metric, two: Metric, differences: np.ndarray, p: float, confidence: float) -> Difference:
    low, high = interval(differences, confidence)
    known = not math.isnan(p)
    difference = one.value - two.value if known else math.nan
    return Difference(
        name=one.name,
        better=one.better,
        value=finite(one.value),
        other=finite(two.value),
        difference=finite(difference),
        low=finite(low),
        high=finite(high),
        p=finite(p),
        verdict=_verdict(one.better, difference, p < 1 - confidence) if known else NOT_COMPARABLE,
    )


def _verdict(better: str | None, difference: float, real: bool) -> str:
    if not real:
        return SAME
    direction = "higher" if difference > 0 else "lower"
    if better is None:
        return direction
    return "better" if direction == better else "worse"
