"""Scored candidates in, the one that is the reply first; and the options of choosing."""

import difflib
import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from convmodel.responders.protocol import Candidate

NUM_CHOSEN, CHOOSE_AGAIN, DRAW_TEMPERATURE = "num_candidates", "allow_repeats", "selection_temperature"

DEFAULTS: dict[str, Any] = {NUM_CHOSEN: 10, CHOOSE_AGAIN: False, DRAW_TEMPERATURE: 0.0}
"""How a reply is chosen, where nobody says."""


def _is_number_from_0(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    NUM_CHOSEN: (lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1, "whole numbers from 1"),
    CHOOSE_AGAIN: (lambda v: isinstance(v, bool), "true and false"),
    DRAW_TEMPERATURE: (_is_number_from_0, "numbers from 0 (the best)"),
}
"""For each option whether a value means something, and what does. None is always allowed: as though not given."""


def check_choosing(options: Mapping[str, Any], *, known: Collection[str] = tuple(ALLOWED)) -> None:
    """Raises ValueError for an option that is not known or a value that means nothing; says what is."""
    for name, value in options.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = (
                f"did you mean {near[0]}?" if near else f"where replies are only chosen, there are {', '.join(known)}"
            )
            raise ValueError(f"there is no option {name!r}; {hint}")
        fits, allowed = ALLOWED[name]
        if value is not None and not fits(value):
            raise ValueError(f"{name}={value!r}; allowed are {allowed}")


def drop_none(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without those that are None, which are as though not given."""
    return {name: value for name, value in options.items() if value is not None}


def rank_or_sample(candidates: Iterable[Candidate], *, temperature: float, seed: int | None) -> tuple[Candidate, ...]:
    """Puts the candidate first that is the reply, and the others best first behind it.

    Of equal scores, the one that came first stands first.

    Args:
        candidates: all with scores.
        temperature: at 0 the best is the reply; above, it is drawn with the probabilities softmax(score / temperature).
        seed: of the draw.
    """
    ranked = sorted(candidates, key=_worse_last)
    if temperature and ranked and _score(ranked[0]) > -math.inf:
        weights = [math.exp((_score(each) - _score(ranked[0])) / temperature) for each in ranked]
        [drawn] = random.Random(seed).choices(range(len(ranked)), weights)
        ranked.insert(0, ranked.pop(drawn))
    return tuple(ranked)


def _score(candidate: Candidate) -> float:
    return -math.inf if candidate.score is None else candidate.score


def _worse_last(candidate: Candidate) -> float:
    return -_score(candidate)
