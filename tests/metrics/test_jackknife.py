"""The jackknife, compared with leaving out each unit in turn."""

import math
from collections import Counter
from collections.abc import Hashable

import numpy as np
import pytest

from convmodel.metrics.jackknife import (
    Statistic,
    Term,
    c_log_c,
    entropy,
    jackknife,
    presence,
    repeated_count,
    share,
)


def plain_statistic(units: list[Counter[Hashable]], term: Term, statistic: Statistic) -> float:
    counts = sum(units, Counter[Hashable]())
    values = np.array(list(counts.values()), dtype=np.float64)
    return float(statistic(np.array(term(values).sum()), np.array(values.sum())))


@pytest.mark.parametrize(("term", "statistic"), [(presence, share), (repeated_count, share), (c_log_c, entropy)])
def test_pseudo_values_are_those_of_leaving_out_each_unit(term: Term, statistic: Statistic) -> None:
    source = np.random.default_rng(0)
    units: list[Counter[Hashable]] = [Counter(source.integers(6, size=5).tolist()) for _ in range(7)]
    value, influences = jackknife(units, term, statistic)
    leave_one_out = [plain_statistic(units[:i] + units[i + 1 :], term, statistic) for i in range(7)]
    pseudo_values = np.array([7 * value - 6 * left_out for left_out in leave_one_out])
    assert value == pytest.approx(plain_statistic(units, term, statistic))
    np.testing.assert_allclose(influences, pseudo_values - pseudo_values.mean() + value)


def test_without_counts_a_statistic_is_nan() -> None:
    value, influences = jackknife([], presence, share)
    assert math.isnan(value) and influences.shape == (0,)
