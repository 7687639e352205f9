"""Options of commands that several processes or machines share."""

import sys
from argparse import ArgumentParser, Namespace
from functools import partial

import pytest

from convmodel.cli.machines import add_machine_options, check_machines, choose_runner, shares_work
from convmodel.data.step_runner import default_workers, run_in_processes, run_on_ray


def parsed(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_machine_options(parser, default="all")
    return parser.parse_args(arguments)


@pytest.mark.parametrize(("arguments", "workers"), [(["--workers", "3"], 3), ([], default_workers())])
def test_processes_run_the_steps_without_a_cluster(arguments: list[str], workers: int) -> None:
    run = choose_runner(parsed(*arguments), computing=False)
    assert isinstance(run, partial) and run.func is run_in_processes
    assert run.keywords == {"workers": workers, "computing": False, "gpus": 0}


def test_without_options_this_process_does_the_work() -> None:
    assert not shares_work(parsed()) and shares_work(parsed("--workers", "1")) and shares_work(parsed("--ray"))


@pytest.mark.slow
def test_an_address_is_given_to_ray() -> None:
    pytest.importorskip("ray")
    for options, address in ((["--ray"], None), (["--ray", "10.0.0.1:6379"], "10.0.0.1:6379")):
        run = choose_runner(parsed(*options), computing=True)
        assert isinstance(run, partial) and run.func is run_on_ray
        assert run.keywords == {"address": address, "computing": True}


def test_workers_and_a_cluster_exclude_each_other() -> None:
    check_machines(parsed("--ray"))
    with pytest.raises(ValueError, match="leave --workers out"):
        check_machines(parsed("--ray", "--workers", "2"))


def test_without_ray_its_installation_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit):
        choose_runner(parsed("--ray"), computing=True)
    assert "--ray needs ray; " in capsys.readouterr().err
