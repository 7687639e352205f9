"""Metrics of selectors, which select the response among candidates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from convmodel.data.reader import format_count
from convmodel.metrics.metric import Metric, ratio, sum_by_unit
from convmodel.metrics.ranking import ExampleRanks, Ranking, gold_ranks
from convmodel.models.selection.calibration import lead
from convmodel.reports.evaluation.task import MetricResults

KS = (1, 2, 5)
"""Values of k for which R_n@k and hits@k/n are computed."""

SIZE_TOLERANCE = 0.9
"""Minimum size of the pools that are grouped with the largest pool, as a share of its size.

Pools of one file differ in size because repeated distractors are left out.
"""

SMALL_POOL = 10
LARGE_POOL = 50
"""Sizes of pools. A pool of at least `LARGE_POOL` candidates is also measured with only `SMALL_POOL` of them."""


@dataclass(frozen=True)
class SelectionResult:
    """Scores of a gold response and its distractors.

    Args:
        conversation: index of the conversation in the file, from 1.
        line: line of the example in the file, from 1.
        persona: persona sentences of the replying speaker.
        context: the turns before the response.
        candidates: the candidates, in the order of the file.
        gold_at: index of the gold response among the candidates, from 0.
        gold: the gold response.
        best: the candidate with the highest score; in a tie with the gold response, the other one.
        rank: rank of the gold response among all candidates, from 1. Tied candidates rank above the gold response.
        scores: score of each candidate; None if it is not finite.
        rounding: rounding error of the scores. Scores that differ by at most this number are tied.
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


def rank_gold(scores: Sequence[float | None], gold_at: int, rounding: float) -> ExampleRanks:
    """Return the rank of the gold candidate. Candidates within the rounding error of its score rank above it."""
    values = _values(scores)
    gold = float(values[gold_at])
    values[gold_at] -= rounding
    return ExampleRanks(gold_ranks(values, [gold_at]), len(values), gold)


def best_other(scores: Sequence[float | None], gold_at: int) -> int:
    """Return the index of the best candidate other than the gold one; of equal ones, the first.

    A candidate without a score is the worst.
    """
    values = np.nan_to_num(_values(scores), nan=-math.inf)
    return max((index for index in range(len(scores)) if index != gold_at), key=values.__getitem__)


def margin(result: SelectionResult) -> float:
    """Return the score of the gold response minus that of the best other candidate; nan if either has none."""
    values = _values(result.scores)
    return float(values[result.gold_at] - values[best_other(result.scores, result.gold_at)])


def precision_curve(results: Sequence[SelectionResult]) -> dict[str, list[tuple[float, float]]]:
    """Return the precision of the most confident replies, for at most 100 shares of the examples.

    Every reply to an example without its gold response, which represents a question without an answer, is wrong.
    """
    rows = [_answers(result) for result in results]
    answered = [lead_and_right for lead_and_right, _ in rows]
    unanswerable = [(of_others, False) for _, of_others in rows if of_others is not None]
    series = {"the gold reply is a candidate": answered}
    if unanswerable:
        series["for half of the examples it is not"] = [*answered, *unanswerable]
    return {name: _precision_points(values) for name, values in series.items()}


def _answers(result: SelectionResult) -> tuple[tuple[float, bool], float | None]:
    """Return the best candidate's lead and whether it is the gold response, and the lead without the gold response."""
    others = [score for index, score in enumerate(result.scores) if index != result.gold_at and score is not None]
    gold = result.scores[result.gold_at]
    all_scores = sorted([*others, *([] if gold is None else [gold])], reverse=True)
    first = lead(all_scores) if all_scores else 0.0
    return (first, result.rank == 1), lead(sorted(others, reverse=True)) if len(others) > 1 else None


def _precision_points(values: Sequence[tuple[float, bool]]) -> list[tuple[float, float]]:
    """Return points (x, y): y is the share of correct replies among the share x of replies with the largest leads.

    Among replies with equal leads, wrong replies come first.
    """
    right = np.array([is_right for _, is_right in sorted(values, key=lambda value: (-value[0], value[1]))])
    counts = np.unique(np.linspace(1, len(right), min(len(right), 100)).round().astype(int))
    precisions = np.cumsum(right)[counts - 1] / counts
    return list(zip((counts / len(right)).tolist(), precisions.tolist(), strict=True))


def compute_metrics(results: Sequence[SelectionResult]) -> MetricResults:
    """Compute all metrics from at least one result, in ascending order of conversations.

    The units of the bootstrap are conversations.
    """
    by_size = _ranks_by_pool_size(results)
    sizes = {len(result.scores) for result in results}
    style = "hits" if any(result.persona for result in results) else "R"
    groups = [_ranking_metrics(pool, ranks, style) for pool, ranks in sorted(by_size.items(), reverse=True)]
    conversations = len({result.conversation for result in results})
    among = f"{min(sizes):,}" if len(sizes) == 1 else f"{min(sizes):,} to {max(sizes):,}"
    summary = (
        f"{format_count(len(results), 'reply')} chosen among {among} candidates in "
        f"{format_count(conversations, 'conversation')}."
    )
    return MetricResults(summary, [*groups, [_gold_score(results)]], notes=_notes(results))


def _ranks_by_pool_size(results: Sequence[SelectionResult]) -> dict[int, list[tuple[SelectionResult, ExampleRanks]]]:
    """Return results and ranks by nominal pool size.

    A result of a large pool also has a rank in a pool of `SMALL_POOL` candidates.
    """
    by_size: dict[int, list[tuple[SelectionResult, ExampleRanks]]] = {}
    nominal = nominal_sizes({len(result.scores) for result in results})
    for result in results:
        size = nominal[len(result.scores)]
        rank = rank_gold(result.scores, result.gold_at, result.rounding)
        by_size.setdefault(size, []).append((result, rank))
        if size >= LARGE_POOL:
            distractors = [index for index in range(len(result.scores)) if index != result.gold_at]
            kept = [result.scores[index] for index in [*distractors[: SMALL_POOL - 1], result.gold_at]]
            rank = rank_gold(kept, len(kept) - 1, result.rounding)
            by_size.setdefault(SMALL_POOL, []).append((result, rank))
    return by_size


def nominal_sizes(sizes: set[int]) -> dict[int, int]:
    """Return the nominal size of each pool size, by which pools are grouped.

    A group has a largest size, its nominal size, and all sizes of at least `SIZE_TOLERANCE` times this size.
    """
    nominal: dict[int, int] = {}
    largest = 0
    for size in sorted(sizes, reverse=True):
        if size < SIZE_TOLERANCE * largest or not largest:
            largest = size
        nominal[size] = largest
    return nominal


def _ranking_metrics(pool: int, ranks: Sequence[tuple[SelectionResult, ExampleRanks]], style: str) -> list[Metric]:
    """Return the ranking metrics for one pool size."""
    ks = [k for k in KS if k < pool]
    ranking = Ranking(recall_at=ks if style == "R" else (), hits_at=ks if style == "hits" else (), pool=pool)
    ranking.add([rank for _, rank in ranks], [result.conversation for result, _ in ranks])
    chance = {name: f"{k / pool:.3f}" for k in ks for name in (f"R_{pool}@{k}", f"hits@{k}/{pool}")}
    chance["mrr"] = f"{sum(1 / rank for rank in range(1, pool + 1)) / pool:.3f}"
    return [
        replace(
            metric,
            name=f"mrr/{pool}" if metric.name == "mrr" else metric.name,
            family=f"Choosing among {pool:,} candidates",
            meaning=f"{metric.meaning}; chance gives {chance[metric.name]}",
        )
        for metric in ranking.metrics()
        if metric.name != "gold_score"
    ]


def _gold_score(results: Sequence[SelectionResult]) -> Metric:
    """Return the mean score of the gold responses.

    Scores of two models have different scales and must not be compared. The shared column is therefore NaN, which is
    not equal to itself.
    """
    counts = [(_values(result.scores)[result.gold_at], 1.0, math.nan) for result in results]
    _, units = np.unique([result.conversation for result in results], return_inverse=True)
    return Metric(
        "gold_score",
        sum_by_unit(counts, units.tolist(), columns=3),
        ratio,
        family="Scores",
        meaning="mean score of the gold replies, a cosine for ConveRT; each model has a scale of its own",
        shared=2,
    )


def _notes(results: Sequence[SelectionResult]) -> list[str]:
    notes = []
    sizes = [len(result.scores) for result in results]
    nominal = nominal_sizes(set(sizes))
    if smaller := sum(size < nominal[size] for size in sizes):
        notes.append(
            f"{smaller:,} of {len(results):,} pools are smaller than their group's name says, by a tenth at most; "
            "distractors that repeat another candidate are left out."
        )
    if missing := sum(score is None for result in results for score in result.scores):
        notes.append(f"{missing:,} of {sum(sizes):,} scores are not finite (nan, inf); that counts against the model.")
    if tied := sum(_all_tied(result) for result in results):
        notes.append(f"In {tied:,} of {len(results):,} pools all candidates have the same score: nothing was chosen.")
    return notes


def _all_tied(result: SelectionResult) -> bool:
    values = _values(result.scores)
    return bool((np.abs(values - values[0]) <= result.rounding).all())


def _values(scores: Sequence[float | None]) -> np.ndarray:
    """Return the (C,) scores, with nan in place of None."""
    return np.array([math.nan if score is None else score for score in scores])
