"""The progress bar of a batch job."""

import sys

import pytest

from convmodel.cli.bulk.progress import progress_bar


def test_there_is_no_bar_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(3, 1) as bar:
        bar.update()
    assert capsys.readouterr().err == ""


def test_there_is_no_bar_without_tqdm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with progress_bar(3, 1) as bar:
        bar.update()
    assert capsys.readouterr().err == ""
