"""Probabilities of the best candidate, against a softmax by hand, and thresholds, against counting."""

import math

import numpy as np
import pytest

from convmodel.models.selection.calibration import COMPETITORS, Answers, Calibration, calibrate, lead


def test_the_lead_is_the_logit_of_a_softmax_over_the_best_candidates() -> None:
    scores = sorted(np.random.default_rng(0).normal(size=300).tolist(), reverse=True)
    shares = np.exp(scores[:COMPETITORS]) / np.exp(scores[:COMPETITORS]).sum()
    assert lead(scores) == pytest.approx(math.log(shares[0] / (1 - shares[0])))
    assert lead([2000.0, 1000.0]) == pytest.approx(1000.0)
    assert lead([3.0]) == 0.0


def test_a_pool_counts_with_and_without_its_gold_response_and_a_tie_is_wrong() -> None:
    answers = Answers.of([np.array([1.0, 3.0, 2.0]), np.array([2.0, 2.0, 0.0])], [1, 0])
    assert answers.right.tolist() == [True, False, False, False]
    assert answers.answerable.tolist() == [True, False, True, False]
    assert answers.leads.tolist() == pytest.approx(
        [3 - math.log(math.e**1 + math.e**2), 1.0, -math.log(math.e**2 + 1) + 2, 2.0]
    )


def make_answers(count: int = 400) -> Answers:
    """Pools in which the gold response has a better score than the others on average."""
    source = np.random.default_rng(1)
    pools = [source.normal(size=12) for _ in range(count)]
    for pool in pools:
        pool[0] += source.normal(2, 1)
    return Answers.of(pools, [0] * count)


def test_the_threshold_is_the_lowest_that_reaches_the_precision() -> None:
    answers = make_answers()
    calibrated = calibrate(answers, precision=0.8)
    chosen = calibrated.calibration
    logits = chosen.bias + chosen.slope * answers.leads
    given = 1 / (1 + np.exp(-logits)) >= chosen.threshold - 1e-12
    assert answers.right[given].mean() == pytest.approx(chosen.precision) and chosen.precision >= 0.8
    assert given[answers.answerable].mean() == pytest.approx(chosen.coverage)
    lower = np.sort(logits)[: (~given).sum()]
    assert all(answers.right[logits >= logit].mean() < 0.8 for logit in lower)
    assert [row.threshold for row in calibrated.table] == sorted(row.threshold for row in calibrated.table)
    assert chosen.threshold in [row.threshold for row in calibrated.table]


def test_probabilities_are_shares_of_right_replies() -> None:
    answers = make_answers(2000)
    calibration = calibrate(answers, precision=0.8).calibration
    probabilities = 1 / (1 + np.exp(-(calibration.bias + calibration.slope * answers.leads)))
    for low in (0.0, 0.25, 0.5, 0.75):
        part = (probabilities >= low) & (probabilities < low + 0.25)
        assert answers.right[part].mean() == pytest.approx(probabilities[part].mean(), abs=0.06)
    assert calibration.probability([5.0, 0.0]) == pytest.approx(
        1 / (1 + math.exp(-calibration.bias - 5 * calibration.slope))
    )


def test_the_highest_precision_is_taken_if_none_is_reached() -> None:
    source = np.random.default_rng(2)
    answers = Answers.of([source.normal(size=5) for _ in range(50)], [0] * 50)
    chosen = calibrate(answers, precision=1.0).calibration
    assert 0 < chosen.precision < 1.0
    with pytest.raises(ValueError, match="precision=0; allowed are numbers above 0 and at most 1"):
        calibrate(answers, precision=0)


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Calibration(math.nan, 1.0, 0.5, 0.9, 0.5)
