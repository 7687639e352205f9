"""Fields of chat exports: times, names, texts, and files beside the messages."""

from pathlib import Path
from typing import Any

import pytest

from convmodel.data.chat_fields import choose_name, is_companion, parse_time, read_name, read_text
from convmodel.data.containers import InputFile
from convmodel.data.data_file import Head
from convmodel.data.options import ReadOptions


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1714557600, 1714557600.0),
        ("1714557600.000100", 1714557600.0001),
        (1714557600000, 1714557600.0),
        ("2024-05-01T10:00:00", 1714557600.0),
        ("2024-05-01T10:00:00.1234567+02:00", 1714550400.123456),
        ("2024-05-01 10:00", 1714557600.0),
        ("2024-05-01T10:00:00Z", 1714557600.0),
        ("0001-01-01T00:00:00+14:00", None),
        *[("", None), ("soon", None), (None, None), (True, None), ([], None), ("nan", None), (float("inf"), None)],
        *[("9" * 5000, None), (10**400, None)],
    ],
)
def test_times_are_seconds(value: Any, seconds: float | None) -> None:
    assert parse_time(value) == seconds


def test_a_person_with_several_names_has_the_one_that_is_asked_for() -> None:
    assert choose_name([None, " Ida  B\n", "ida_99", 7], None) == "Ida B"
    assert choose_name([None, "Ida B", "ida_99", 7], "IDA_99 ") == "ida_99"
    assert choose_name(["", None], "Ida") == "unknown"
    assert read_name("\ud800x") == "?x"


def test_a_text_is_a_string_or_parts() -> None:
    assert read_text("a") == "a"
    assert read_text(["a ", {"type": "bold", "text": "b"}, {"text": ["c"]}, 7, {"type": "x"}]) == "a bc"
    assert read_text({"text": "a"}) == read_text(None) == ""


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("users.json", '[{"team_id": 1}]', True),
        ("users.json", "[]", True),
        ("users.json", '{"team_id": 1}', True),
        ("users.json", '[{"other": 1}]', False),
        ("other.json", '[{"team_id": 1}]', False),
        ("any.json", '{"x": 1}', True),
        ("lists.json", '[{"id": 1}]', True),
        ("lists.json", '[{"turns": ["a", "b"]}]', False),
        ("users.json", "text", False),
    ],
)
def test_a_companion_has_its_name_and_its_key(tmp_path: Path, name: str, content: str, expected: bool) -> None:
    (tmp_path / name).write_text(content)
    head = Head(InputFile(str(tmp_path / name)), ReadOptions())
    assert is_companion(head, {"users.json": "team_id", "any.json": "", "lists.json": None}) is expected
