"""Ranks and pool sizes of response selection."""

from convmodel.reports.evaluation.selection_metrics import (
    SelectionResult,
    best_other,
    nominal_sizes,
    precision_curve,
    rank_gold,
)


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


def result(scores: list[float | None], rank: int) -> SelectionResult:
    texts = [str(index) for index in range(len(scores))]
    return SelectionResult(1, 1, [], ["Hello"], texts, 0, "0", "0", rank, scores, 1e-6)


def test_precision_is_that_of_the_surest_replies() -> None:
    results = [result([5.0, 1.0, 0.0], 1), result([1.0, 3.0, 0.0], 2), result([2.0, 1.5, 1.0], 1)]
    curves = precision_curve(results)
    assert list(curves) == ["the gold reply is a candidate", "for half of the examples it is not"]
    # Leads: 3.7 (right), 1.9 (wrong), 0.03 (right); without the gold replies 1, 3 and 0.5
    assert curves["the gold reply is a candidate"] == [(1 / 3, 1.0), (2 / 3, 0.5), (1.0, 2 / 3)]
    assert [round(precision, 3) for _, precision in curves["for half of the examples it is not"]] == [
        *(1.0, 0.5, 0.333, 0.25, 0.2, 0.333)
    ]


def test_scores_that_are_not_finite_have_no_part_in_the_curve() -> None:
    [(share, precision)] = precision_curve([result([None, 1.0], 2)])["the gold reply is a candidate"]
    assert (share, precision) == (1.0, 0.0)
