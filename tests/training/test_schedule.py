"""The learning rate of a step: up in a line, down along half a cosine or a line."""

import itertools
import math
from dataclasses import asdict

import pytest

from convmodel.training.schedule import Plateau, Schedule, learning_rate_at

SCHEDULES: list[Schedule] = ["cosine", "linear", "constant"]


def rates(schedule: Schedule, *, warmup: int, total: int) -> list[float]:
    return [
        learning_rate_at(step, peak=2.0, warmup_steps=warmup, total_steps=total, schedule=schedule)
        for step in range(total + 1)
    ]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_warm_up_rises_in_equal_steps_from_above_0_to_the_peak(schedule: Schedule) -> None:
    assert rates(schedule, warmup=4, total=20)[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]


def test_a_line_falls_in_equal_steps_to_0() -> None:
    assert rates("linear", warmup=4, total=8) == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 1.5, 1.0, 0.5, 0.0])


def test_half_a_cosine_is_at_its_known_points() -> None:
    found = rates("cosine", warmup=0, total=12)
    assert found[0] == 2.0
    assert found[2] == pytest.approx(1 + math.sqrt(3) / 2)
    assert found[4] == pytest.approx(1.5)
    assert found[6] == pytest.approx(1.0)
    assert found[8] == pytest.approx(0.5)
    assert found[12] == 0.0


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("cycles", [1, 2, 3])
def test_each_cycle_falls_as_a_whole_training_of_its_length_does(schedule: Schedule, cycles: int) -> None:
    alone = rates(schedule, warmup=0, total=12)
    found = [
        learning_rate_at(s, peak=2.0, warmup_steps=5, total_steps=5 + 12 * cycles, schedule=schedule, cycles=cycles)
        for s in range(5, 6 + 12 * cycles)
    ]
    assert found == pytest.approx([*alone[:-1] * cycles, 0.0])


def test_a_constant_rate_stays_at_its_peak() -> None:
    assert set(rates("constant", warmup=0, total=9)) == {2.0}


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_after_the_warm_up_the_rate_only_falls_and_every_step_learns(schedule: Schedule, warmup: int) -> None:
    after = rates(schedule, warmup=warmup, total=30)[warmup:]
    assert all(one > other for one, other in itertools.pairwise(after))
    assert after[0] == 2.0 and after[-2] > 0 and after[-1] == 0


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_beyond_the_end_the_rate_is_0(schedule: Schedule) -> None:
    assert learning_rate_at(99, peak=2.0, warmup_steps=1, total_steps=10, schedule=schedule) == 0.0


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_without_an_end_the_rate_stays_at_its_peak(schedule: Schedule) -> None:
    options = {"peak": 2.0, "warmup_steps": 2, "total_steps": math.inf}
    found = [learning_rate_at(step, schedule=schedule, **options) for step in (0, 1, 2, 10**9)]  # type: ignore[arg-type]
    assert found == [1.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_warm_up_longer_than_the_training_is_cut_off(schedule: Schedule) -> None:
    found = rates(schedule, warmup=10, total=4)
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_the_cosine_is_what_is_meant_when_nothing_is_said() -> None:
    assert learning_rate_at(3, peak=2.0, warmup_steps=0, total_steps=12) == rates("cosine", warmup=0, total=12)[3]


def test_a_plateau_shrinks_the_rate_whenever_a_validation_is_no_better() -> None:
    plateau = Plateau()
    assert [plateau.decays(value) for value in (0.1, 0.2, 0.2, 0.15, 0.3)] == [False, False, True, True, False]
    assert plateau.scale == pytest.approx(0.16)
    again = Plateau(**asdict(plateau))
    assert again.decays(0.3) and again.scale == pytest.approx(0.064)
