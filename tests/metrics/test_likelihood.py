"""Perplexity from sums, in log space."""

import math

import numpy as np
import pytest

from convmodel.metrics.likelihood import TokenCounts, bits_per_character, perplexity


def test_perplexity_is_one_over_the_geometric_mean_of_the_probabilities() -> None:
    chances = np.random.default_rng(0).random(50)
    sums = np.array([-np.log(chances).sum(), 50.0])
    assert float(perplexity(sums)) == pytest.approx(np.prod(chances ** (-1 / 50)))
    assert float(bits_per_character(sums)) == pytest.approx(-np.log2(chances).mean())


def test_sums_that_no_float_can_raise_stay_in_order() -> None:
    found = perplexity(np.array([[0.0, 0.0], [0.0, 3.0], [1400.0, 2.0], [1402.0, 2.0], [math.nan, 2.0]]))
    assert math.isnan(found[0]) and math.isnan(found[4])
    assert found[1:4].tolist() == [1.0, math.exp(700), math.inf]


def test_one_token_counts_as_the_trainer_counts_it() -> None:
    assert TokenCounts(3.0, 2).perplexity == float(perplexity(np.array([3.0, 2.0]))) == math.exp(1.5)
