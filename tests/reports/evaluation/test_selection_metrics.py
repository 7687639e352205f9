"""Ranks and pool sizes of response selection."""

from convmodel.reports.evaluation.selection_metrics import best_other, nominal_sizes, rank_gold


def test_pools_of_nearly_the_same_size_are_counted_together() -> None:
    assert nominal_sizes({100, 97, 90, 89, 10, 9, 8, 2}) == {
        **{100: 100, 97: 100, 90: 100, 89: 89},
        **{10: 10, 9: 10, 8: 8, 2: 2},
    }


def test_the_best_other_is_the_first_of_equal_candidates() -> None:
    assert best_other([3.0, None, 5.0, 9.0, 5.0], 3) == 2
    assert best_other([3.0, None], 0) == 1
    assert best_other([None, None, None], 1) == 0


def test_differences_within_rounding_are_ties() -> None:
    assert rank_gold([1.0, 1.0 - 1e-7, 0.5], 0, 1e-6).ranks == (2,)
    assert rank_gold([1.0, 1.0 - 1e-5, 0.5], 0, 1e-6).ranks == (1,)
    assert rank_gold([1.0, None, 0.5], 0, 1e-6).ranks == (2,)
    assert rank_gold([None, 1.0, None], 0, 0.0).ranks == (3,)
