"""Scores of candidates, example by example, in; the metrics of a model that chooses out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from convmodel.data.reader import count
from convmodel.metrics.metric import Metric, ratio, rows_of
from convmodel.metrics.ranking import Ranked, Ranking, gold_ranks
from convmodel.reports.evaluation.task import MetricResults

KS = (1, 2, 5)
"""The k of R_n@k and hits@k/n."""

ALIKE = 0.9
"""Pools of at least this share of the largest are counted with it: now and then a repeated distractor was left out."""

FEW, MANY = 10, 50
"""Pools of at least so many candidates are also counted as if they had only the first distractors, `FEW` in all."""


@dataclass(frozen=True)
class SelectionResult:
    """A reply among its candidates.

    Args:
        conversation: its number in the file, from 1.
        line: where in the file it stands, from 1.
        persona: of the one who replies.
        context: the turns before.
        candidates: what could have been said, in the order of the file.
        gold_at: the place of what was said among them, from 0.
        gold: what was said in the file.
        best: what the model says: the candidate with the highest score, not the gold one where another has the same.
        rank: of the gold one among all, from 1; what is not certain counts against the model.
        scores: of each candidate; None for what is no finite number.
        rounding: scores that differ by no more than this are the same.
    """

    conversation: int
    line: int
    persona: list[str]
    context: list[str]
    candidates: list[str]
    gold_at: int
    gold: str
    best: str
    rank: int
    scores: list[float | None]
    rounding: float


def ranked(scores: Sequence[float | None], gold_at: int, rounding: float) -> Ranked:
    """Where the gold candidate came, when it must be above others by more than rounding to be above them."""
    values = np.array([math.nan if score is None else score for score in scores])
    gold = float(values[gold_at])
    values[gold_at] -= rounding
    return Ranked(gold_ranks(values, [gold_at]), len(values), gold)


def best_other(scores: Sequence[float | None], gold_at: int) -> int:
    """The place of the best candidate but the gold one; the first of equal ones, and one without a score if need be."""
    others = [place for place in range(len(scores)) if place != gold_at]
    return max(others, key=lambda place: _value(scores[place]))


def margin(one: SelectionResult) -> float:
    """By how much the gold reply is above the best other one; nan where either has no score."""
    gold, other = one.scores[one.gold_at], one.scores[best_other(one.scores, one.gold_at)]
    return math.nan if gold is None or other is None else gold - other


def find(chosen: Sequence[SelectionResult]) -> MetricResults:
    """All metrics of a model that chooses.

    Args:
        chosen: at least one, in ascending order of conversations, which are the units of the bootstrap.
    """
    readings = _readings(chosen)
    sizes = {len(one.scores) for one in chosen}
    style = "hits" if any(one.persona for one in chosen) else "R"
    groups = [_ranking(pool, of, style) for pool, of in sorted(readings.items(), reverse=True)]
    conversations = len({one.conversation for one in chosen})
    among = f"{min(sizes):,}" if len(sizes) == 1 else f"{min(sizes):,} to {max(sizes):,}"
    summary = (
        f"{len(chosen):,} {'reply' if len(chosen) == 1 else 'replies'} chosen among {among} candidates in "
        f"{count(conversations, 'conversation')}."
    )
    return MetricResults(summary, [*groups, [_gold_score(chosen)]], notes=_notes(chosen))


def _readings(chosen: Sequence[SelectionResult]) -> dict[int, list[tuple[SelectionResult, Ranked]]]:
    """The examples that are counted for each size of pool."""
    found: dict[int, list[tuple[SelectionResult, Ranked]]] = {}
    nominal = nominal_sizes({len(one.scores) for one in chosen})
    for one in chosen:
        size = nominal[len(one.scores)]
        found.setdefault(size, []).append((one, ranked(one.scores, one.gold_at, one.rounding)))
        if size >= MANY:
            places = [*[place for place in range(len(one.scores)) if place != one.gold_at][: FEW - 1], one.gold_at]
            cut = [one.scores[place] for place in places]
            found.setdefault(FEW, []).append((one, ranked(cut, len(cut) - 1, one.rounding)))
    return found


def nominal_sizes(sizes: set[int]) -> dict[int, int]:
    """For each size of a pool the one that it is counted as: the largest that it is at least `ALIKE` of."""
    found: dict[int, int] = {}
    largest = 0
    for size in sorted(sizes, reverse=True):
        if size < ALIKE * largest or not largest:
            largest = size
        found[size] = largest
    return found


def _ranking(pool: int, of: Sequence[tuple[SelectionResult, Ranked]], style: str) -> list[Metric]:
    """The metrics of one size of pool."""
    ks = [k for k in KS if k < pool]
    counted = Ranking(recall_at=ks if style == "R" else (), hits_at=ks if style == "hits" else (), pool=pool)
    counted.add([one for _, one in of], [one.conversation for one, _ in of])
    chance = {name: f"{k / pool:.3f}" for k in ks for name in (f"R_{pool}@{k}", f"hits@{k}/{pool}")}
    chance["mrr"] = f"{sum(1 / rank for rank in range(1, pool + 1)) / pool:.3f}"
    return [
        replace(
            metric,
            name=f"mrr/{pool}" if metric.name == "mrr" else metric.name,
            family=f"Choosing among {pool:,} candidates",
            meaning=f"{metric.meaning}; chance gives {chance[metric.name]}",
        )
        for metric in counted.metrics()
        if metric.name != "gold_score"
    ]


def _gold_score(chosen: Sequence[SelectionResult]) -> Metric:
    """The mean score of the gold replies. The scales of two models differ, so the last column is equal to nothing."""
    counts = [(_value(one.scores[one.gold_at], missing=math.nan), 1.0, math.nan) for one in chosen]
    numbers = {number: place for place, number in enumerate(dict.fromkeys(one.conversation for one in chosen))}
    return Metric(
        "gold_score",
        rows_of(counts, [numbers[one.conversation] for one in chosen], columns=3),
        ratio,
        family="Scores",
        meaning="mean score of the gold replies, a cosine for ConveRT; each model has a scale of its own",
        shared=2,
    )


def _notes(chosen: Sequence[SelectionResult]) -> list[str]:
    notes = []
    nominal = nominal_sizes({len(one.scores) for one in chosen})
    if odd := [one for one in chosen if len(one.scores) < nominal[len(one.scores)]]:
        notes.append(
            f"{len(odd):,} of {len(chosen):,} pools are smaller than their group's name says, by a tenth at most; "
            "distractors that repeat another candidate are left out."
        )
    if missing := sum(score is None for one in chosen for score in one.scores):
        notes.append(
            f"{missing:,} of {sum(len(one.scores) for one in chosen):,} scores are no finite numbers (nan, inf); "
            "that counts against the model."
        )
    same = sum(all(_near(score, one.scores[0], one.rounding) for score in one.scores) for one in chosen)
    if same:
        notes.append(f"In {same:,} of {len(chosen):,} pools all candidates have the same score: nothing was chosen.")
    return notes


def _near(one: float | None, other: float | None, rounding: float) -> bool:
    return one is not None and other is not None and abs(one - other) <= rounding


def _value(score: float | None, missing: float = -math.inf) -> float:
    return missing if score is None else score
