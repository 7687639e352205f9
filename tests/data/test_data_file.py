"""The beginning of a file, from which formats are recognised."""

import json
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.containers import InputFile
from convmodel.data.data_file import DataFile, Head, Notes
from convmodel.data.options import ReadOptions


def head(folder: Path, content: str) -> Head:
    (folder / "x").write_text(content, encoding="utf-8")
    return Head(InputFile(str(folder / "x")), ReadOptions())


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("", None),
        ("[24.12.23, 18:03:11] Ida: Hello", None),
        ("hello [1]", None),
        ('  {"a": 1}\n{"b": 2}', {"a": 1}),
        ('[\n{"a": [1, 2', [{"a": [1]}]),
        ('[{"a": "x, y", "b": ', [{"a": "x, y"}]),
        ('["a', None),
        ("[}", None),
        ('{"a": [{"b": 1, "c": oops}, {"b": 2}]}', {"a": [{"b": 1}]}),
        ("[" * 3000, None),
    ],
)
def test_the_first_value_is_known_as_far_as_the_text_goes(tmp_path: Path, content: str, value: Any) -> None:
    assert head(tmp_path, content).value == value


def test_the_beginning_of_a_long_file_is_enough(tmp_path: Path) -> None:
    found = head(tmp_path, json.dumps([{"turns": ["a", "é" * 100]}] * 2000))
    assert len(found.text.encode()) <= 2**16 + 2 and found.value[0] == {"turns": ["a", "é" * 100]}
    assert found.magic.startswith(b'[{"t')


def test_lines_are_not_blank_and_at_most_twenty(tmp_path: Path) -> None:
    found = head(tmp_path, "\n\na\r\rb \n" + "c\n" * 30)
    assert found.lines[:3] == ["a", "b ", "c"] and len(found.lines) == 20


def test_a_remark_is_kept_once() -> None:
    notes = Notes()
    notes.add("a")
    notes.add("a")
    assert notes.recognised == ["a"]


@pytest.mark.parametrize(
    ("content", "noted"),
    [
        ("a\nb".encode("utf-16"), ["UTF-16-LE"]),
        (b"a\rb\r", ["lines that end in CR"]),
        (b"\xef\xbb\xbfa\r\nb\n", []),
        (b"\x1f\x8b\x08", []),
    ],
)
def test_an_uncommon_encoding_and_line_ends_are_noted(tmp_path: Path, content: bytes, noted: list[str]) -> None:
    (tmp_path / "x").write_bytes(content)
    file = DataFile(InputFile(str(tmp_path / "x")), ReadOptions())
    list(file.lines())
    list(file.values(lambda _: True))
    assert file.notes.recognised == noted


def test_whole_lines_are_those_that_are_not_cut_off(tmp_path: Path) -> None:
    assert head(tmp_path, "a\nb").whole_lines == ["a", "b"]
    assert len(head(tmp_path, f"a\n{'b' * 2**17}").whole_lines) == 1
    assert len(head(tmp_path, "b" * 2**17).whole_lines) == 1
