"""Options of candidate selection, and merging, ranking and sampling of scored candidates."""

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from convmodel.errors import suggest
from convmodel.responders.protocol import Candidate

SELECTION_TEMPERATURE = "selection_temperature"

MIN_SCORE = "min_score"

DEFAULTS: dict[str, Any] = {"num_candidates": 10, "allow_repeats": False, SELECTION_TEMPERATURE: 0.0, MIN_SCORE: 0.0}
"""Default options of candidate selection."""

ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "num_candidates": (lambda value: type(value) is int and value >= 1, "whole numbers from 1"),
    "allow_repeats": (lambda value: isinstance(value, bool), "true and false"),
    SELECTION_TEMPERATURE: (
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf,
        "numbers from 0 (the best)",
    ),
    MIN_SCORE: (
        lambda value: (
            value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1)
        ),
        "probabilities from 0 (off) to 1, and auto",
    ),
}
"""Check of each option, and a description of its allowed values. None means "not given" and is always allowed."""


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ValueError for an unknown option or an invalid value. The message names the allowed ones."""
    for name, value in options.items():
        if name not in ALLOWED:
            hint = suggest(name, ALLOWED, f"allowed for a chooser are {', '.join(ALLOWED)}")
            raise ValueError(f"there is no option {name!r}; {hint}")
        is_valid, allowed = ALLOWED[name]
        if value is not None and not is_valid(value):
            raise ValueError(f"{name}={value!r}; allowed are {allowed}")


def drop_none(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without those that are None, which means "not given"."""
    return {name: value for name, value in options.items() if value is not None}


def rank_or_sample(candidates: Iterable[Candidate], *, temperature: float, seed: int | None) -> tuple[Candidate, ...]:
    """Return the reply, followed by the other candidates, best first. Candidates with equal scores keep their order.

    Args:
        candidates: candidates with scores.
        temperature: with 0, the best candidate is the reply. Above 0, the reply is sampled with the probabilities
            softmax(score / temperature).
        seed: seed of the sampling.
    """
    ranked = sorted(candidates, key=_score, reverse=True)
    if temperature and ranked and _score(ranked[0]) > -math.inf:
        weights = [math.exp((_score(candidate) - _score(ranked[0])) / temperature) for candidate in ranked]
        [sampled] = random.Random(seed).choices(range(len(ranked)), weights)
        ranked.insert(0, ranked.pop(sampled))
    return tuple(ranked)


def _score(candidate: Candidate) -> float:
    return -math.inf if candidate.score is None else candidate.score


def merge_candidates(written: Iterable[Candidate], selected: Iterable[Candidate]) -> list[Candidate]:
    """Return all candidates without duplicate texts, generated ones first.

    Texts that differ only in white space at their ends are duplicates; the generated text is kept. Each candidate's
    `scores` get its score as "written", if it was generated, and as "chosen", if it was selected.
    """
    merged: dict[str, Candidate] = {}
    for candidate in written:
        merged.setdefault(candidate.text.strip(), replace(candidate, scores=_stage_scores(candidate, "written")))
    for candidate in selected:
        key = candidate.text.strip()
        scores = _stage_scores(candidate, "chosen")
        existing = merged.setdefault(key, replace(candidate, scores=scores))
        if existing.source == "written":
            merged[key] = replace(
                existing,
                source="both",
                number=candidate.number,
                metadata=candidate.metadata,
                scores={**existing.scores, **scores},
            )
    return list(merged.values())


def _stage_scores(candidate: Candidate, stage: str) -> dict[str, float]:
    return {**candidate.scores, **({} if candidate.score is None else {stage: candidate.score})}
