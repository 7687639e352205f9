"""Numbers and names of options on the command line."""

import re
import shlex
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from convmodel.__main__ import COMMANDS, main, make_parser
from convmodel.cli.command import Command, number_parser, positive_int


def test_a_number_in_range_is_parsed() -> None:
    assert positive_int("12") == 12
    assert number_parser(float, lambda number: number < 1, "below 1")("0.5") == 0.5


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "", "9" * 5000])
def test_anything_else_is_an_error_that_says_what_is_allowed(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"'{text}' is not a whole number from 1"):
        positive_int(text)


@pytest.mark.parametrize("flag", ["--on-error", "--on_error"])
def test_an_option_is_read_with_dashes_and_with_underscores(flag: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text('["a", "b"]\n["alone"]\n')
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out"), flag, "skip"]) == 0


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_the_help_writes_options_with_dashes(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command.name, "--help"])
    assert re.search(r"--\w+_", capsys.readouterr().out) is None


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_the_help_ends_with_examples_that_the_command_accepts(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command.name, "--help"])
    examples = capsys.readouterr().out.partition("\nexamples:\n")[2].splitlines()
    assert len(examples) == len(command.examples) >= 1
    for example in examples:
        words = shlex.split(example, comments=True)
        assert words[:4] == ["python", "-m", "convmodel", command.name]
        assert make_parser().parse_args(words[3:]).command == command.name


def test_an_option_must_be_written_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["convert", "a", "b", "--on_err", "skip"])
    assert capsys.readouterr().err == "error: --on_err: there is no such option; did you mean --on-error?\n"
