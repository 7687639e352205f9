"""Options of commands that several processes or machines share."""

import sys
from argparse import ArgumentParser, Namespace
from functools import partial

import pytest

from convmodel.cli.machines import add_machine_options, check_machines, choose_runner
from convmodel.data.step_runner import default_workers, run_in_processes


def parsed(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_machine_options(parser, default="all")
    return parser.parse_args(arguments)


@pytest.mark.parametrize(("arguments", "workers"), [(["--workers", "3"], 3), ([], default_workers())])
def test_processes_run_the_steps_without_a_cluster(arguments: list[str], workers: int) -> None:
    run = choose_runner(parsed(*arguments), computing=False)
    assert isinstance(run, partial) and run.func is run_in_processes
    assert run.keywords == {"workers": workers, "computing": False, "gpus": 0}


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
