"""Numbers on the command line."""

from argparse import ArgumentTypeError

import pytest

from convmodel.__main__ import main
from convmodel.cli.command import number_parser, positive_int


def test_a_number_in_range_is_parsed() -> None:
    assert positive_int("12") == 12
    assert number_parser(float, lambda number: number < 1, "below 1")("0.5") == 0.5


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "", "9" * 5000])
def test_anything_else_is_an_error_that_says_what_is_allowed(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"'{text}' is not a whole number from 1"):
        positive_int(text)


def test_an_option_must_be_written_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["convert", "a", "b", "--on_err", "skip"])
    assert capsys.readouterr().err == "error: --on_err: there is no such option; did you mean --on_error?\n"
