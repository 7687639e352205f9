"""Errors of the package in one line, defects with their traceback."""

import errno
import json
import os
import traceback
from pathlib import Path

import pytest

from convmodel import errors
from convmodel.data.conversation import check_turns
from convmodel.errors import report_errors
from convmodel.tokens.turn_windows import target_turns


def fail_in_package() -> None:
    """Raise an error in the package for an invalid value."""
    target_turns("most", 3)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_traceback_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)


def test_an_error_of_the_package_is_one_line_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, report_errors():
        fail_in_package()
    assert end.value.code == 2
    assert end.value.__suppress_context__  # no traceback through the package
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: train_on='most'; allowed are all, last, last_speaker, first_speaker, second_speaker\n"


def test_a_value_error_raised_elsewhere_propagates() -> None:
    with pytest.raises(ValueError, match="invalid literal"), report_errors():
        int("x")


@pytest.mark.parametrize("error", [TypeError, KeyError, AssertionError, KeyboardInterrupt, RuntimeError])
def test_other_exceptions_propagate(error: type[BaseException]) -> None:
    with pytest.raises(error), report_errors():
        raise error


def test_the_environment_variable_keeps_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVMODEL_TRACEBACK", "1")
    with pytest.raises(ValueError, match="allowed are all") as error, report_errors():
        fail_in_package()
    assert traceback.extract_tb(error.value.__traceback__)[-1].name == "target_turns"


def test_a_system_error_about_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), report_errors():
        (tmp_path / "no" / "folder").mkdir()  # raised in pathlib
    err = capsys.readouterr().err
    assert err == f"error: [Errno {errno.ENOENT}] {os.strerror(errno.ENOENT)}: '{tmp_path}/no/folder'\n"


def test_a_connection_error_propagates() -> None:
    with pytest.raises(ConnectionRefusedError), report_errors():
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")


def test_an_error_of_a_package_with_a_similar_name_propagates(tmp_path: Path) -> None:
    code = compile("raise ValueError('theirs')", f"{Path(errors.__file__).parent}_plugin/module.py", "exec")
    with pytest.raises(ValueError, match="theirs"), report_errors():
        exec(code)


def test_without_an_error_nothing_changes(capsys: pytest.CaptureFixture[str]) -> None:
    with report_errors():
        print("all is well")
    assert capsys.readouterr() == ("all is well\n", "")


def test_an_error_of_the_package_wrapped_by_a_library_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit, report_errors():
        try:
            check_turns([])
        except ValueError as error:
            raise ValueError("a parser says: does not validate") from error
    assert exit.value.code == 2
    assert capsys.readouterr().err == "error: there are no turns; give at least one\n"


def test_the_most_similar_name_is_suggested() -> None:
    assert errors.suggest("chatter", ["serve", "chat"], "none") == "did you mean chat?"
    assert errors.suggest("zzz", ["serve", "chat"], "none") == "none"


@pytest.mark.parametrize(
    ("source", "command"),
    [
        (None, 'pip install ".[serve]" in a checkout of convmodel'),
        ({"url": "file:///a%20b/c", "dir_info": {}}, 'pip install "/a b/c[serve]"'),
        ({"url": "file:///c", "dir_info": {"editable": True}}, 'pip install -e "/c[serve]"'),
        (
            {"url": "https://host/c.git", "vcs_info": {"vcs": "git", "commit_id": "12"}},
            'pip install "convmodel[serve] @ git+https://host/c.git"',
        ),
        (
            {"url": "https://host/c.git", "vcs_info": {"vcs": "git", "requested_revision": "v1", "commit_id": "12"}},
            'pip install "convmodel[serve] @ git+https://host/c.git@v1"',
        ),
        (
            {"url": "file:///convmodel-1-py3-none-any.whl", "archive_info": {}},
            'pip install "convmodel[serve] @ file:///convmodel-1-py3-none-any.whl"',
        ),
    ],
)
def test_an_extra_is_installed_from_where_the_package_came_from(
    source: dict | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "convmodel-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: convmodel\nVersion: 1\n")
    if source is not None:
        (installed / "direct_url.json").write_text(json.dumps(source))
    monkeypatch.syspath_prepend(tmp_path)
    assert errors.install_command("serve") == command
