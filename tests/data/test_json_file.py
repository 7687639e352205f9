"""JSON files with one object: what is read, and what is refused with its file, line and a remedy."""

from pathlib import Path

import pytest

from convmodel.data.json_file import read_json_object, refuse_lfs_pointer

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 548118077\n"


def test_an_object_is_returned(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"é": [1, null]}', encoding="utf-8")
    assert read_json_object(tmp_path / "a.json") == {"é": [1, None]}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", r"a\.json: is empty; copy or download it again"),
        (b" \n", r"a\.json: is empty"),
        (b'{\n"a": 1,\n"b" 2}', r"a\.json:3: is not JSON \(Expecting ':' delimiter, column 5\); copy or download"),
        (b"<!DOCTYPE html>\n<html>", r"a\.json:1: is not JSON \(it begins '<!DOCTYPE html>\\n<html>'\)"),
        (b'{"a": "\xe9"}', r"a\.json: is not UTF-8 \(byte 8\)"),
        (b"[1]", r"a\.json: holds '\[1\]', not an object"),
        (b"null", r"a\.json: holds 'null', not an object"),
        (b"[" * 100_000, r"a\.json: is not JSON that can be read"),
        (b'{"a": ' + b"9" * 5000 + b"}", r"a\.json: is not JSON that can be read"),
        (POINTER.encode(), r"a\.json: is a pointer of Git LFS, .* run git lfs pull"),
    ],
)
def test_other_contents_are_refused_in_one_line(tmp_path: Path, contents: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(contents)
    with pytest.raises(ValueError, match=message) as error:
        read_json_object(tmp_path / "a.json")
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.json: is missing; make it"):
        read_json_object(tmp_path / "a.json", remedy="make it")
    with pytest.raises(ValueError, match="is a folder, not a file"):
        read_json_object(tmp_path)


def test_only_a_short_file_can_be_a_pointer(tmp_path: Path) -> None:
    (tmp_path / "long").write_text(POINTER * 20)
    for name in ("long", "missing"):
        refuse_lfs_pointer(tmp_path / name)
