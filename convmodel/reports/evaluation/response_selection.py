"""Models that choose their replies: a folder and a file in, the scores of candidates line by line out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from convmodel.metrics.words import words
from convmodel.models.selection.registry import SELECTOR
from convmodel.models.selection.selector import Selector
from convmodel.reports.evaluation.candidate_pools import CandidatePool, read_pools
from convmodel.reports.evaluation.scoring import Scores, scores_of
from convmodel.reports.evaluation.selection_metrics import SelectionResult, best_other, find, margin, ranked
from convmodel.reports.evaluation.task import (
    Card,
    EvaluationRun,
    EvaluationTask,
    Histogram,
    Lines,
    RunResult,
    check_same,
)

CHOICES = "choices.jsonl"


def run(task: EvaluationRun) -> RunResult:
    """Loads the model in float32 and scores the candidates of every reply."""
    pools = read_pools(task.data, task.options, task.on_error)
    selector = Selector.from_pretrained(task.model, task.device, "float32")
    found = zip(pools.examples, scores_of(selector, pools), strict=True)
    lines: Lines = {CHOICES: [_chosen(one, scores) for one, scores in found]}
    return RunResult(_facts(selector, task.model), pools.data, lines, {"candidates": pools.candidates}, pools.notes)


def _facts(selector: Selector, source: str) -> dict[str, Any]:
    return {
        "source": source,
        "kind": selector.kind,
        "fingerprint": selector.fingerprint(),
        "dtype": selector.dtype,
        "parameters": selector.parameters(),
        "vocab_size": len(selector.tokenizer),
    }


def _chosen(one: CandidatePool, found: Scores) -> SelectionResult:
    example = one.example
    # The shortest digits that tell a float32 from all others.
    scores = [float(str(value)) if math.isfinite(value) else None for value in found.values.astype(np.float32)]
    rounding = float(f"{found.rounding:.3g}")
    rank = ranked(scores, example.gold, rounding).ranks[0]
    return SelectionResult(
        conversation=one.conversation,
        line=one.line,
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


def _alike(mine: Lines, theirs: Lines) -> None:
    """Raises ValueError unless both chose for the same contexts among the same candidates."""
    one, other = ([(e.persona, e.context, e.candidates, e.gold_at) for e in lines[CHOICES]] for lines in (mine, theirs))
    cure = "with the same --limit, and where it gives no candidates also with the same --turns, --pool and --seed"
    check_same("examples", one, other, cure=cure)


def _histograms(lines: Lines) -> list[Histogram]:
    """Ranks, margins, the scores of gold and other candidates, and lengths."""
    chosen: Sequence[SelectionResult] = lines[CHOICES]
    others = [s for one in chosen for place, s in enumerate(one.scores) if place != one.gold_at and s is not None]
    gold = [score for one in chosen if (score := one.scores[one.gold_at]) is not None]
    return [
        Histogram("Rank of the gold reply", "rank, 1 is best", {"model": [one.rank for one in chosen]}, bins=None),
        Histogram(
            "By how much the gold reply is above the best other",
            "score of the gold reply − that of the best other",
            {"model": [margin(one) for one in chosen]},
        ),
        Histogram("Scores", "score", {"other candidates": others, "gold": gold}),
        Histogram(
            "Length",
            "words of a reply",
            {"model": [len(words(one.best)) for one in chosen], "gold": [len(words(one.gold)) for one in chosen]},
            bins=None,
        ),
    ]


def _ranked(lines: Lines) -> list[Card]:
    """By the share of the pool that is above the gold reply, then by how far the gold one is from the best other."""
    return [_card(one) for one in sorted(lines[CHOICES], key=_merit, reverse=True)]


def _merit(one: SelectionResult) -> tuple[float, float]:
    above = margin(one)
    return -(one.rank - 1) / (len(one.scores) - 1), -math.inf if math.isnan(above) else above


def _card(one: SelectionResult) -> Card:
    other = best_other(one.scores, one.gold_at)
    if one.rank == 1:
        said = {"gold and model": one.gold, "next best": one.candidates[other]}
    else:
        said = {"gold": one.gold, "model": one.best}
    facts = {
        "rank": f"{one.rank:,} of {len(one.scores):,}",
        "gold": _score(one.scores[one.gold_at]),
        "best other": _score(one.scores[other]),
        "line": f"{one.line:,}",
    }
    return Card(one.context, said, one.persona, facts)


def _score(score: float | None) -> str:
    return "no score" if score is None else f"{score:.3f}".replace("-", "−")


CHOOSING = EvaluationTask(
    name="choosing",
    made_of=SELECTOR,
    options=frozenset({"turns", "limit", "pool", "seed", "resamples", "confidence"}),
    limit=0,
    sides=("The gold reply found most clearly", "The gold reply missed most clearly"),
    files={CHOICES: SelectionResult},
    run=run,
    find=lambda lines, options: find(lines[CHOICES]),
    alike=_alike,
    histograms=_histograms,
    ranked=_ranked,
)
