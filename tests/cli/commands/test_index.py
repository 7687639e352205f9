"""Options of the command index that need another option."""

import pytest

from convmodel.__main__ import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to do; give --candidates, --remove, --remove-numbers or --search"),
        (["--search", "Hello", "--append"], "--append has no effect without --candidates"),
        (["--search", "Hello", "--turns"], "--turns has no effect without a file"),
        (["--remove-numbers", "1", "--k", "3"], "--k has no effect without --search"),
        (["--remove-numbers", "1", "--candidates", "c.txt"], "there are candidates to remove and to add"),
    ],
)
def test_options_without_effect_are_rejected_before_a_model_is_loaded(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", "--model", "none", "--output", "index", *options]) == 2
    assert message in capsys.readouterr().err
