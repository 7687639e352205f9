"""What a run in Python restores when it ends."""

import os
import signal
import warnings

import pytest
import torch

from convmodel.training.fit_cli import FitCLI, contained


def test_a_run_has_the_parser_of_fit_alone_and_reads_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["notebook", "-f", "kernel.json"])
    assert set(FitCLI.subcommands()) == {"fit"}


def test_handlers_filters_seeds_and_random_numbers_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    handler = signal.getsignal(signal.SIGINT)
    filters = list(warnings.filters)
    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt), contained():
        os.environ["PL_GLOBAL_SEED"] = "1"
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        torch.manual_seed(9)
        raise KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is handler
    assert warnings.filters == filters
    assert torch.equal(torch.get_rng_state(), state)
    assert "PL_GLOBAL_SEED" not in os.environ


def test_an_error_of_the_input_leaves_without_the_parser_around_it() -> None:
    from convmodel.data.conversation import check_turns

    with pytest.raises(ValueError, match=r"^turn 1 is empty") as raised, contained():
        try:
            check_turns([""])
        except ValueError as error:
            raise ValueError("Problem with given class_path") from error
    assert raised.value.__suppress_context__
