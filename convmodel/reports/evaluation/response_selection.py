"""Evaluation of models that choose their responses among candidates."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from convmodel.metrics.words import words
from convmodel.models.selection.registry import SELECTOR
from convmodel.models.selection.selector import Selector
from convmodel.reports.evaluation.candidate_pools import CandidatePool, read_pools
from convmodel.reports.evaluation.examples import EvaluationOptions
from convmodel.reports.evaluation.scoring import Scores, score_pools
from convmodel.reports.evaluation.selection_metrics import (
    SelectionResult,
    best_other,
    compute_metrics,
    margin,
    rank_gold,
)
from convmodel.reports.evaluation.task import (
    Card,
    EvaluationRun,
    EvaluationTask,
    Lines,
    MetricResults,
    RunResult,
    check_same,
)
from convmodel.reports.plots import Histogram

CHOICES = "choices.jsonl"


class ResponseSelection(EvaluationTask):
    """The evaluation of a model that chooses: ranks of the gold responses among their candidates."""

    name = "choosing"
    marker_file = SELECTOR
    options = frozenset({"turns", "limit", "pool", "seed", "resamples", "confidence"})
    default_limit = 0
    card_headings = ("The gold reply found most clearly", "The gold reply missed most clearly")
    files: ClassVar = {CHOICES: SelectionResult}

    def run(self, run: EvaluationRun) -> RunResult:
        """Load the model in float32 and score the candidates of every response."""
        pools = read_pools(run.data, run.options, run.on_error)
        selector = Selector.from_pretrained(run.model, run.device, "float32")
        scored = zip(pools.examples, score_pools(selector, pools), strict=True)
        lines: Lines = {CHOICES: [_result(pool, scores) for pool, scores in scored]}
        facts = _selector_facts(selector, run.model)
        return RunResult(facts, pools.data, lines, {"candidates": pools.candidates}, pools.notes)

    def compute_metrics(self, lines: Lines, options: EvaluationOptions) -> MetricResults:
        """Compute recall or hits, the mean reciprocal rank and the mean gold score."""
        return compute_metrics(lines[CHOICES])

    def check_comparable(self, lines: Lines, other: Lines) -> None:
        """Raise ValueError unless both models chose for the same contexts among the same candidates."""
        remedy = "with the same --limit, and where it gives no candidates also with the same --turns, --pool and --seed"
        check_same("examples", _inputs(lines), _inputs(other), remedy=remedy)

    def histograms(self, lines: Lines) -> list[Histogram]:
        """Return ranks, margins, the scores of gold and other candidates, and lengths."""
        results: Sequence[SelectionResult] = lines[CHOICES]
        gold = [score for result in results if (score := result.scores[result.gold_at]) is not None]
        lengths = {
            "model": [len(words(result.best)) for result in results],
            "gold": [len(words(result.gold)) for result in results],
        }
        return [
            Histogram("Rank of the gold reply", "rank, 1 is best", {"model": [r.rank for r in results]}, bins=None),
            Histogram(
                "Margin of the gold reply over the best other candidate",
                "score of the gold reply − that of the best other",
                {"model": [margin(result) for result in results]},
            ),
            Histogram("Scores", "score", {"other candidates": _other_scores(results), "gold": gold}),
            Histogram("Length", "words of a reply", lengths, bins=None),
        ]

    def ranked_cards(self, lines: Lines) -> list[Card]:
        """Order by the share of the pool that is ranked above the gold response, then by the margin."""
        return [_card(result) for result in sorted(lines[CHOICES], key=_sort_key, reverse=True)]


def _selector_facts(selector: Selector, source: str) -> dict[str, Any]:
    return {
        "source": source,
        "kind": selector.kind,
        "fingerprint": selector.fingerprint(),
        "dtype": selector.dtype,
        "parameters": selector.parameters(),
        "vocab_size": len(selector.tokenizer),
    }


def _result(pool: CandidatePool, scored: Scores) -> SelectionResult:
    example = pool.example
    # The fewest digits that distinguish a float32 from all others.
    scores = [float(str(value)) if math.isfinite(value) else None for value in scored.values.astype(np.float32)]
    rounding = float(f"{scored.rounding:.3g}")
    rank = rank_gold(scores, example.gold, rounding).ranks[0]
    return SelectionResult(
        conversation=pool.conversation,
        line=pool.line,
        persona=list(example.persona),
        context=list(example.context),
        candidates=list(example.candidates),
        gold_at=example.gold,
        gold=example.response,
        best=example.candidates[example.gold if rank == 1 else best_other(scores, example.gold)],
        rank=rank,
        scores=scores,
        rounding=rounding,
    )


def _inputs(lines: Lines) -> list[Any]:
    return [(result.persona, result.context, result.candidates, result.gold_at) for result in lines[CHOICES]]


def _other_scores(results: Sequence[SelectionResult]) -> list[float]:
    """Return the finite scores of all candidates but the gold ones."""
    return [
        score
        for result in results
        for index, score in enumerate(result.scores)
        if index != result.gold_at and score is not None
    ]


def _sort_key(result: SelectionResult) -> tuple[float, float]:
    lead = margin(result)
    return -(result.rank - 1) / (len(result.scores) - 1), -math.inf if math.isnan(lead) else lead


def _card(result: SelectionResult) -> Card:
    other = best_other(result.scores, result.gold_at)
    if result.rank == 1:
        responses = {"gold and model": result.gold, "next best": result.candidates[other]}
    else:
        responses = {"gold": result.gold, "model": result.best}
    facts = {
        "rank": f"{result.rank:,} of {len(result.scores):,}",
        "gold": _format_score(result.scores[result.gold_at]),
        "best other": _format_score(result.scores[other]),
        "line": f"{result.line:,}",
    }
    return Card(result.context, responses, result.persona, facts)


def _format_score(score: float | None) -> str:
    return "no score" if score is None else f"{score:.3f}".replace("-", "−")
