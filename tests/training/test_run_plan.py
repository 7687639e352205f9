"""Runs are planned from the number of characters and the measured speed; speeds are given here, not measured."""

import math

import pytest

from convmodel.models.from_scratch import FromScratch
from convmodel.training import run_plan
from convmodel.training.run_plan import CHARACTERS_PER_TOKEN, OVERHEAD, SIZES, ModelSize, measure_speed, plan_run


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Tokens per second by the width of the model; a test may change them."""
    speeds = {256: 5000.0, 384: 2000.0, 768: 200.0}
    monkeypatch.setattr(run_plan, "measure_speed", lambda size: (speeds[size.n_embd], 1_000_000))
    return speeds


def characters(tokens: float) -> int:
    return round(tokens * CHARACTERS_PER_TOKEN)


@pytest.mark.parametrize(("tokens", "size"), list(zip((1_000, 3_000_000, 20_000_000, 10**9), SIZES, strict=True)))
def test_more_data_gets_a_larger_model_if_the_time_suffices(
    speeds: dict[int, float], tokens: int, size: ModelSize
) -> None:
    assert plan_run(characters(tokens), minutes=1e9).size is size


@pytest.mark.usefixtures("speeds")
def test_a_smaller_model_is_chosen_that_reads_the_data_three_times_in_the_time() -> None:
    plan = plan_run(characters(20_000_000), minutes=20_000_000 * 3 / 2000 / 60 * OVERHEAD)
    assert plan.size is SIZES[2]
    assert plan_run(characters(20_000_000), minutes=plan.minutes * 0.99).size is SIZES[1]


@pytest.mark.usefixtures("speeds")
def test_the_smallest_model_is_trained_as_long_as_the_time_allows() -> None:
    plan = plan_run(characters(50_000_000), minutes=13)
    assert plan.size is SIZES[0]
    assert plan.minutes == pytest.approx(13)
    assert plan.steps == round(13 * 60 * 5000 / OVERHEAD / SIZES[0].tokens_per_batch)


@pytest.mark.usefixtures("speeds")
@pytest.mark.parametrize(("tokens", "passes"), [(100, 30), (100_000, 12), (400_000, 3), (2_000_000, 3)])
def test_small_data_is_read_several_times(tokens: int, passes: int) -> None:
    plan = plan_run(characters(tokens), minutes=60)
    assert plan.passes == passes
    assert plan.steps == max(1, round(tokens * passes / plan.size.tokens_per_batch))
    dropout = plan.options(validation=False)["model"]["from_scratch"]["resid_pdrop"]
    assert dropout == (0.1 if passes > 5 else 0.0)


@pytest.mark.usefixtures("speeds")
def test_options_are_those_of_the_trainer() -> None:
    plan = plan_run(characters(400_000), minutes=60)
    options = plan.options(validation=True)
    assert FromScratch(**options["model"]["from_scratch"]) == plan.size.architecture(dropout=0.0)
    assert options["data"] == {"tokens_per_batch": plan.size.tokens_per_batch}
    assert options["trainer"]["max_steps"] == plan.steps
    assert options["trainer"]["max_epochs"] > plan.passes
    assert options["trainer"]["val_check_interval"] == plan.steps // 6
    assert "val_check_interval" not in plan.options(validation=False)["trainer"]


def test_all_sizes_are_valid_and_grow() -> None:
    for size in SIZES:
        size.architecture(dropout=0.1).check()
    limits = [size.max_tokens for size in SIZES]
    assert limits == sorted(limits) and math.isinf(limits[-1])


def test_the_speed_is_measured_with_a_model_of_the_size() -> None:
    speed, parameters = measure_speed(SIZES[0])
    assert speed > 0
    assert parameters == 2048 * 256 + 256 * 256 + 2 * (12 * 256**2 + 13 * 256) + 2 * 256
