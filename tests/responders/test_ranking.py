"""Ranking and sampling of scored candidates."""

import math
from collections import Counter

import pytest

from convmodel.responders.protocol import Candidate
from convmodel.responders.ranking import rank_or_sample


def test_draws_follow_the_softmax_of_the_scores() -> None:
    candidates = [Candidate("a", 0.0), Candidate("b", 1.0), Candidate("c", -math.inf), Candidate("d", 2.0)]
    counts = Counter(rank_or_sample(candidates, temperature=2.0, seed=seed)[0].text for seed in range(4000))
    weights = {"a": 1.0, "b": math.exp(0.5), "d": math.exp(1.0)}
    for text, weight in weights.items():
        assert counts[text] / 4000 == pytest.approx(weight / sum(weights.values()), abs=0.03)
    assert counts["c"] == 0
    drawn = next(
        ranked for seed in range(99) if (ranked := rank_or_sample(candidates, temperature=2, seed=seed))[0].text == "a"
    )
    assert [candidate.text for candidate in drawn] == ["a", "d", "b", "c"]


def test_of_equal_scores_the_first_wins_and_minus_infinity_is_never_sampled() -> None:
    same = [Candidate(text, 1.0) for text in "abc"]
    assert [candidate.text for candidate in rank_or_sample(same, temperature=0, seed=None)] == ["a", "b", "c"]
    nothing = [Candidate(text, -math.inf) for text in "ab"]
    assert [candidate.text for candidate in rank_or_sample(nothing, temperature=1.0, seed=0)] == ["a", "b"]
    assert rank_or_sample([], temperature=1.0, seed=0) == ()
