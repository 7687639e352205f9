"""The check that two models were evaluated on the same inputs."""

import pytest

from convmodel.reports.evaluation.task import check_same


def test_the_first_difference_is_named_with_the_remedy() -> None:
    check_same("examples", [1, 2], [1, 2], remedy="with the same --limit")
    with pytest.raises(ValueError, match=r"other examples \(the first that differs is 2\); .* the same --limit$"):
        check_same("examples", [1, 2], [1, 3], remedy="with the same --limit")
    with pytest.raises(ValueError, match=r"\(2 here, 1 there\)"):
        check_same("examples", [1, 2], [1], remedy="with the same --limit")
