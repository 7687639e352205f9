"""Sources: the files of folders and globs, and paths that cannot be read."""

import os
from pathlib import Path

import pytest

from convmodel.data.sources import check_file, list_files

SUFFIXES = (".csv", ".json")


def names(source: str) -> list[str]:
    listing = list_files(source, noun="conversation", suffixes=SUFFIXES)
    return [os.path.basename(file.path) for file in listing.files]


def test_a_folder_gives_its_known_files_in_order(tmp_path: Path) -> None:
    for name in ("b.csv.gz", "a.JSON", "c.txt", ".hidden.csv", "sub/a.csv", ".git/x.csv", "d.zip", "sub/none"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert names(str(tmp_path)) == ["a.JSON", "b.csv.gz", "d.zip", "a.csv"]
    assert names(f"{tmp_path}/**/*.csv") == ["a.csv"]
    (tmp_path / "[x].csv").write_text("x")
    assert names(f"{tmp_path}/[x].csv") == ["[x].csv"]  # a file of this name is no pattern


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        IsADirectoryError, match=r"is a folder \(it is empty\); give one file of conv.* end in .csv, .json"
    ):
        names(".")
    with pytest.raises(FileNotFoundError, match=f"no file matches this pattern in {tmp_path}; check it"):
        names("*.csv")
    with pytest.raises(FileNotFoundError, match=r"there is no such file in .*hub://org/name"):
        names("x.csv")
    with pytest.raises(IsADirectoryError, match="give one file of words"):
        check_file(str(tmp_path), noun="word")
