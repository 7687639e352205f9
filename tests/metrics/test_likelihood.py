"""Perplexity from sums, in log space."""

import math

import numpy as np
import pytest

from convmodel.metrics.likelihood import TokenCounts, bits_per_character, perplexity


def test_perplexity_is_the_inverse_geometric_mean_of_the_probabilities() -> None:
    probabilities = np.random.default_rng(0).random(50)
    sums = np.array([-np.log(probabilities).sum(), 50.0])
    assert float(perplexity(sums)) == pytest.approx(np.prod(probabilities ** (-1 / 50)))
    assert float(bits_per_character(sums)) == pytest.approx(-np.log2(probabilities).mean())


def test_a_loss_too_large_for_exp_gives_infinite_perplexity() -> None:
    result = perplexity(np.array([[0.0, 0.0], [0.0, 3.0], [1400.0, 2.0], [1402.0, 2.0], [math.nan, 2.0]]))
    assert math.isnan(result[0]) and math.isnan(result[4])
    assert result[1:4].tolist() == [1.0, math.exp(700), math.inf]


def test_token_counts_give_loss_and_perplexity_like_the_trainer() -> None:
    assert TokenCounts(3.0, 2).perplexity == float(perplexity(np.array([3.0, 2.0]))) == math.exp(1.5)
