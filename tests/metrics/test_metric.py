"""Metrics of summed counts."""

import math

import numpy as np

from convmodel.metrics.likelihood import perplexity
from convmodel.metrics.metric import Metric, ratio, sum_by_unit


def test_a_metric_is_a_ratio_of_sums() -> None:
    rows = sum_by_unit([[1, 1], [9, 99], [0, 100]], [0, 1, 1], columns=2)
    assert rows.tolist() == [[1, 1], [9, 199]]
    assert Metric("mean", rows, ratio).value == 10 / 200


def test_without_examples_the_value_is_nan() -> None:
    rows = sum_by_unit([], [], columns=2)
    assert rows.shape == (0, 2)
    assert math.isnan(Metric("mean", rows, ratio).value)
    assert math.isnan(Metric("perplexity", rows, perplexity).value)


def test_the_metric_of_the_gold_replies_uses_their_counts() -> None:
    metric = Metric("mean", np.array([[1.0, 2.0]]), ratio, gold_rows=np.array([[3.0, 4.0]]))
    assert metric.gold is not None and metric.gold.value == 0.75
    assert metric.gold.gold is None
