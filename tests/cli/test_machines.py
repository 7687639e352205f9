"""Options that choose what runs the steps of a command."""

from argparse import ArgumentParser, Namespace
from functools import partial

import pytest

from convmodel.cli.machines import add_machine_options, check_machines, choose_runner, shares_work
from convmodel.data.step_runner import default_workers, run_in_processes, run_on_ray


def parsed(*options: str) -> Namespace:
    parser = ArgumentParser()
    add_machine_options(parser, default="this one alone")
    return parser.parse_args(options)


def test_without_options_this_process_does_the_work() -> None:
    assert not shares_work(parsed()) and shares_work(parsed("--workers", "1")) and shares_work(parsed("--ray"))


def test_the_runner_has_the_number_of_processes() -> None:
    for options, workers in ((["--workers", "3"], 3), ([], default_workers())):
        runner = choose_runner(parsed(*options), computing=False)
        assert isinstance(runner, partial) and runner.func is run_in_processes
        assert runner.keywords == {"workers": workers, "computing": False, "gpus": 0}


@pytest.mark.slow
def test_an_address_is_given_to_ray() -> None:
    pytest.importorskip("ray")
    for options, address in ((["--ray"], None), (["--ray", "10.0.0.1:6379"], "10.0.0.1:6379")):
        runner = choose_runner(parsed(*options), computing=True)
        assert isinstance(runner, partial) and runner.func is run_on_ray
        assert runner.keywords == {"address": address, "computing": True}


def test_ray_and_a_number_of_workers_exclude_each_other() -> None:
    check_machines(parsed("--ray"))
    with pytest.raises(ValueError, match="leave --workers out"):
        check_machines(parsed("--ray", "--workers", "2"))
