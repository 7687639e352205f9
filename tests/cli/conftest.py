"""Folders with models in which the commands run."""

from pathlib import Path

import pytest

from tests.conftest import TEXTS, MakeModel, MakeSelector


@pytest.fixture
def folder(tmp_path: Path, make_model: MakeModel) -> str:
    make_model(ending=3.0).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def parts(folder: str, tmp_path: Path, make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, a selector and a list of candidates, in which the commands run."""
    make_selector().save_pretrained(tmp_path / "chooser")
    (tmp_path / "list.txt").write_text("\n".join(["", *TEXTS, TEXTS[0], "It rains.", "Good night."]) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    return tmp_path
