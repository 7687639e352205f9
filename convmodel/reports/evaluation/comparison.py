"""The lines of two models on the same examples in, which of their differences are real out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convmodel.metrics.bootstrap import holm, interval, p_value, resampled
from convmodel.metrics.metric import Metric
from convmodel.reports.evaluation.examples import Options
from convmodel.reports.evaluation.report import finite
from convmodel.reports.evaluation.task import EvaluationTask, Lines

SAME = "no difference found"
NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Difference:
    """A metric of two models; None stands for what is no finite number.

    Args:
        name: of the metric.
        better: which numbers are better: "higher", "lower", or "nearer" to the gold replies.
        value: of this model.
        other: of the other.
        difference: `value - other`.
        low, high: the bounds of its interval.
        p: how probable so clear a difference would be if there were none, for all metrics of the table together.
        verdict: "better" or "worse" (this model than the other); "higher" or "lower" for a real difference of which
            it is not certain that it is nearer to the gold replies; "no difference found", or "not comparable".
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


def compare(kind: EvaluationTask, mine: Lines, theirs: Lines, *, other: dict[str, Any], options: Options) -> Comparison:
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
    adjusted = holm([p_value(pair.differences) for pair in pairs])
    rows = [_difference(pair, p, options.confidence) for pair, p in zip(pairs, adjusted, strict=True)]
    return Comparison(other, options.confidence, options.resamples, options.seed, rows)


@dataclass(frozen=True)
class _Pair:
    """A metric of both models.

    Args:
        mine, theirs: the metric.
        differences: (R,) mine less theirs, resample by resample; nan where they are not to be compared.
        farther: (R,) how much farther from the gold replies mine is; None where that does not matter.
    """

    mine: Metric
    theirs: Metric
    differences: np.ndarray
    farther: np.ndarray | None


def _paired(mine: Sequence[Metric], theirs: Sequence[Metric], options: Options) -> list[_Pair]:
    golds = [one.gold for one in mine]
    together = [*mine, *theirs, *filter(None, golds)]
    values = iter(resampled(together, resamples=options.resamples, seed=options.seed))
    ours, others = [next(values) for _ in mine], [next(values) for _ in theirs]
    found = []
    for one, two, gold, a, b in zip(mine, theirs, golds, ours, others, strict=True):
        real = None if gold is None else next(values)
        comparable = one.shared is None or np.array_equal(one.rows[:, one.shared], two.rows[:, one.shared])
        with np.errstate(invalid="ignore"):  # infinity less infinity is no number
            differences = a - b if comparable else np.full_like(a, math.nan)
            farther = None if real is None else np.abs(a - real) - np.abs(b - real)
        found.append(_Pair(one, two, differences, farther))
    return found


def _difference(pair: _Pair, p: float, confidence: float) -> Difference:
    one, two = pair.mine, pair.theirs
    low, high = interval(pair.differences, confidence)
    known = not math.isnan(p)
    return Difference(
        name=one.name,
        better=one.better,
        value=finite(one.value),
        other=finite(two.value),
        difference=finite(one.value - two.value) if known else None,
        low=finite(low),
        high=finite(high),
        p=finite(p),
        verdict=_verdict(pair, p, 1 - confidence) if known else NOT_COMPARABLE,
    )


def _verdict(pair: _Pair, p: float, level: float) -> str:
    if p >= level:
        return SAME
    direction = "higher" if pair.mine.value > pair.theirs.value else "lower"
    if pair.mine.better != "nearer":
        return "better" if direction == pair.mine.better else "worse"
    assert pair.farther is not None, "a metric whose better numbers are nearer to gold has the gold ones"
    if p_value(pair.farther) >= level:
        return direction
    return "worse" if np.median(pair.farther) > 0 else "better"
