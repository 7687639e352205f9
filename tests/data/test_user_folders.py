"""Folders of the user follow the environment."""

from pathlib import Path

import pytest

from convmodel.data.user_folders import cache_folder, chat_history


def test_the_environment_names_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVMODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert cache_folder() == tmp_path / "cache"
    assert chat_history() == tmp_path / "state" / "convmodel" / "chat_history"


def test_without_it_they_are_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONVMODEL_CACHE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "convmodel"
    assert chat_history() == tmp_path / ".local" / "state" / "convmodel" / "chat_history"
