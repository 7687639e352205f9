"""Running steps in this process, in processes and on Ray."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from convmodel.data.step_runner import (
    Step,
    default_workers,
    run_in_order,
    run_in_processes,
    run_on_ray,
    run_stages,
    share_of,
)


def touch(path: Path) -> None:
    path.mkdir()


def fail(path: Path) -> None:
    raise ValueError(f"{path}: cannot be read")


def steps_of(folder: Path, names: str) -> list[Step]:
    return [Step(folder / name, partial(touch, folder / name)) for name in names]


@pytest.mark.parametrize("workers", [1, 2])
def test_finished_steps_are_not_run_again_and_progress_is_told(tmp_path: Path, workers: int) -> None:
    (tmp_path / "a").mkdir()
    told: list[tuple[str, int, int]] = []
    stages = {"first": steps_of(tmp_path, "abc"), "second": steps_of(tmp_path, "d")}
    run_stages(stages, lambda steps: run_in_processes(steps, workers), lambda *each: told.append(each))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "d"]
    assert told == [("first", 1, 3), ("first", 2, 3), ("first", 3, 3), ("second", 0, 1), ("second", 1, 1)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_step_ends_the_run(tmp_path: Path, workers: int) -> None:
    steps = [Step(tmp_path / "x", partial(fail, tmp_path / "x")), *steps_of(tmp_path, "ab")]
    with pytest.raises(ValueError, match="x: cannot be read"):
        list(run_in_processes(steps, workers))


def test_shares_of_workers_are_all_steps_once(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, "abcde")
    shares = [share_of(steps, worker, 3) for worker in (1, 2, 3)]
    assert [step.output.name for share in shares for step in share] == ["a", "d", "b", "e", "c"]
    assert share_of(steps, 7, 7) == [] and default_workers() >= 1


@pytest.mark.slow
def test_steps_run_as_tasks_of_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    assert len(list(run_on_ray(steps_of(tmp_path, "abc"), None))) == 3
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(ValueError, match="cannot be read"):
        list(run_on_ray([Step(tmp_path / "x", partial(fail, tmp_path / "x"))], None))


def test_steps_are_yielded_in_order_whatever_order_they_end_in(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    steps = steps_of(tmp_path, "abcd")
    ran: list[str] = []

    def backwards(pending: Sequence[Step]) -> Iterator[None]:
        for step in reversed(pending):
            ran.append(step.output.name)
            step()
            yield

    yielded = []
    for step in run_in_order(steps, backwards):
        step.output.rmdir()
        yielded.append(step.output.name)
    assert yielded == ["a", "b", "c", "d"] and ran == ["d", "c", "a"]
