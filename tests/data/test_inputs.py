"""The inputs of sources: what is read of a folder, and what is passed over."""

from pathlib import Path

import pytest

from convmodel.data.containers import InputFile
from convmodel.data.formats.base import ForeignFileError
from convmodel.data.formats.conversations import CONVERSATIONS
from convmodel.data.inputs import InputFinder
from convmodel.data.options import ReadOptions


def finder(source: Path) -> InputFinder:
    options = ReadOptions()
    return InputFinder([str(source)], options, lambda file, _: CONVERSATIONS.recognise(file, options))


def write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)


def test_what_cannot_be_read_is_passed_over_where_something_can(tmp_path: Path) -> None:
    write(tmp_path, a_jsonl='["a", "b"]\n', b_json='{"x": 1}', c_txt="Once upon a time.", d_log="")
    found = finder(tmp_path)
    assert [(each.format, each.file) for each in found.find(CONVERSATIONS)] == [
        ("jsonl", InputFile(str(tmp_path / "a.jsonl")))
    ]
    reasons = [each.removeprefix(f"{tmp_path}/") for each in found.others]
    assert reasons[0] == "b.json:1: no conversation is in its first lines (keys: 'x')"
    assert reasons[1].startswith("c.txt:1: the format cannot be recognised") and reasons[2] == "d.log"
    found.find(CONVERSATIONS)
    assert len(found.others) == 3


def test_a_file_that_may_be_read_is_kept_where_there_is_no_other(tmp_path: Path) -> None:
    write(tmp_path, b_json='{"x": 1}', c_txt="Once upon a time.")
    assert [each.format for each in finder(tmp_path).find(CONVERSATIONS)] == ["jsonl"]


def test_a_folder_and_a_file_without_a_format_are_errors(tmp_path: Path) -> None:
    write(tmp_path, c_txt="Once upon a time.")
    for source in (tmp_path, tmp_path / "c.txt"):
        with pytest.raises(ForeignFileError, match=r"c.txt:1: the format cannot be recognised"):
            finder(source).find(CONVERSATIONS)
