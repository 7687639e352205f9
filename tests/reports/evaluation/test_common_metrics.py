"""Families of metrics that tasks share, against plain Python."""

import math

import pytest

from convmodel.reports.evaluation.common_metrics import likelihood_family, variety_family


def test_likelihood_is_per_token_per_word_and_per_character() -> None:
    columns = ([3.0, 5.0], [2, 2], [1, 3], [6, 10])
    values = {metric.name: metric.value for metric in likelihood_family(columns, size="character")}
    assert values == pytest.approx(
        {
            "perplexity": math.exp(8 / 4),
            "perplexity_per_word": math.exp(8 / 4),
            "bits_per_character": 8 / math.log(2) / 16,
        }
    )


def test_likelihood_per_token_is_comparable_only_for_equal_numbers_of_tokens() -> None:
    shared = [metric.shared for metric in likelihood_family(([3.0], [2], [1], [6]), size="byte")]
    assert shared == [1, None, None]


def test_variety_is_that_of_all_texts_together_beside_gold() -> None:
    texts = [["yes yes"], ["yes no"]]
    gold = [["a b"], ["c d"]]
    metrics = {metric.name: metric for metric in variety_family(texts, gold, noun="replies")}
    assert metrics["distinct_1"].value == pytest.approx(2 / 4)
    assert metrics["distinct_1"].gold is not None and metrics["distinct_1"].gold.value == pytest.approx(1.0)
    assert metrics["said_again"].value == 0.0
    assert {metric.better for metric in metrics.values()} == {"nearer"}


def test_shared_numbers_are_a_column_of_their_own() -> None:
    for metric in variety_family([["a"], ["b"]], [["a"], ["b"]], noun="replies", shared=[7, 9]):
        assert metric.shared == 2 and metric.rows[:, 2].tolist() == [7.0, 9.0]
