"""Errors of ours in one line, defects with their traceback."""

import errno
import os
import traceback
from pathlib import Path

import pytest

from convmodel import errors
from convmodel.data.conversation import check_turns
from convmodel.errors import report_errors
from convmodel.tokens.conversation_layout import target_turns


def ours() -> None:
    """Raises in the package, for a wrong value."""
    target_turns("most", 3)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_traceback_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)


def test_what_the_package_raises_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, report_errors():
        ours()
    assert end.value.code == 2
    assert end.value.__suppress_context__  # no traceback through our insides
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: train_on='most'; allowed are all, last, last_speaker, first_speaker, second_speaker\n"


def test_a_value_error_raised_elsewhere_is_a_defect_and_passes() -> None:
    with pytest.raises(ValueError, match="invalid literal"), report_errors():
        int("x")


@pytest.mark.parametrize("error", [TypeError, KeyError, AssertionError, KeyboardInterrupt, RuntimeError])
def test_what_is_neither_a_wrong_value_nor_of_the_system_passes(error: type[BaseException]) -> None:
    with pytest.raises(error), report_errors():
        raise error


def test_with_the_environment_variable_everything_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVMODEL_TRACEBACK", "1")
    with pytest.raises(ValueError, match="allowed are all") as error, report_errors():
        ours()
    assert traceback.extract_tb(error.value.__traceback__)[-1].name == "target_turns"


def test_what_the_system_says_of_a_file_is_one_line_whoever_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit), report_errors():
        (tmp_path / "no" / "folder").mkdir()  # raised in pathlib
    err = capsys.readouterr().err
    assert err == f"error: [Errno {errno.ENOENT}] {os.strerror(errno.ENOENT)}: '{tmp_path}/no/folder'\n"


def test_what_a_connection_says_is_no_file_and_passes() -> None:
    with pytest.raises(ConnectionRefusedError), report_errors():
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")


def test_a_package_whose_name_only_begins_alike_is_not_ours(tmp_path: Path) -> None:
    code = compile("raise ValueError('theirs')", f"{Path(errors.__file__).parent}_plugin/module.py", "exec")
    with pytest.raises(ValueError, match="theirs"), report_errors():
        exec(code)


def test_what_goes_well_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with report_errors():
        print("all is well")
    assert capsys.readouterr() == ("all is well\n", "")


def test_what_this_package_said_is_told_though_another_library_wrapped_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, report_errors():
        try:
            check_turns([])
        except ValueError as error:
            raise ValueError("a parser says: does not validate") from error
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: there are no turns; give at least one\n"
