"""Intervals and p-values, compared with plain loops and known answers."""

import math

import numpy as np
import pytest

from convmodel.metrics import bootstrap
from convmodel.metrics.bootstrap import holm, p_value, percentile_interval, resample
from convmodel.metrics.likelihood import perplexity
from convmodel.metrics.metric import Metric, ratio


def metric(rows: np.ndarray) -> Metric:
    return Metric("mean", np.stack([rows, np.ones(len(rows))], axis=1), ratio)


def test_resamples_are_those_of_a_plain_loop_over_the_same_draws() -> None:
    source = np.random.default_rng(3)
    rows = np.stack([source.random(7), source.integers(1, 5, 7)], axis=1)
    result = resample([Metric("p", rows, perplexity), metric(rows[:, 0])], resamples=20, seed=5)
    draws = np.random.default_rng([5, 7]).integers(7, size=(20, 7))
    for index, draw in enumerate(draws):
        assert result[0][index] == pytest.approx(
            math.exp(sum(rows[i, 0] for i in draw) / sum(rows[i, 1] for i in draw))
        )
        assert result[1][index] == pytest.approx(sum(rows[i, 0] for i in draw) / 7)


def test_the_chunk_size_does_not_change_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = metric(np.random.default_rng(0).random(9))
    [whole] = resample([rows], resamples=50, seed=0)
    monkeypatch.setattr(bootstrap, "CHUNK", 40)
    [pieces] = resample([rows], resamples=50, seed=0)
    np.testing.assert_array_equal(whole, pieces)


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(5, 2, size=400)
    low, high = percentile_interval(resample([metric(values)], resamples=4000, seed=2)[0])
    half_width = 1.96 * values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - half_width, abs=0.03)
    assert high == pytest.approx(values.mean() + half_width, abs=0.03)


def test_resamples_depend_on_the_seed() -> None:
    rows = metric(np.arange(20.0))
    first, same_seed, other_seed = (resample([rows], resamples=9, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same_seed)
    assert not np.array_equal(first, other_seed)


def test_an_interval_ignores_nan_and_keeps_infinity() -> None:
    assert percentile_interval(np.array([math.nan, 1.0, 2.0, 3.0]), 0.95) == (1.0, 3.0)
    assert percentile_interval(np.array([1.0, math.inf, math.inf])) == (1.0, math.inf)
    assert all(map(math.isnan, percentile_interval(np.array([math.nan]))))
    [without_rows] = resample([Metric("none", np.zeros((0, 2)), ratio)], resamples=3, seed=0)
    assert np.isnan(without_rows).all()


def test_no_difference_has_a_p_value_of_one() -> None:
    assert p_value(np.zeros(100)) == 1.0
    assert math.isnan(p_value(np.array([math.nan])))


def test_a_difference_in_every_resample_has_the_smallest_possible_p_value() -> None:
    assert p_value(np.ones(1999)) == p_value(-np.ones(1999)) == 2 / 2000
    assert p_value(np.array([1.0] * 97 + [-1.0] * 2)) == pytest.approx(2 * 3 / 100)


def test_resamples_without_difference_increase_the_p_value() -> None:
    assert p_value(np.array([1.0] * 50 + [0.0] * 50)) == 1.0


def test_p_values_under_the_null_hypothesis_are_uniform() -> None:
    source = np.random.default_rng(4)
    result = []
    for seed in range(200):
        differences = metric(source.normal(0, 1, size=60))
        result.append(p_value(resample([differences], resamples=200, seed=seed)[0]))
    assert 1 <= sum(p < 0.05 for p in result) <= 22  # 10 are expected
    assert 75 < sum(p < 0.5 for p in result) < 125


def test_holm_adjusts_p_values_as_in_the_paper() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    result = holm([0.02, math.nan, 0.01])
    assert math.isnan(result[1]) and [result[0], result[2]] == pytest.approx([0.02, 0.02])
    assert holm([]) == []
