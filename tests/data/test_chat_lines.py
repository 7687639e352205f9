"""Chats as text: messages of several lines, lines of none, and lines that cannot be read."""

from pathlib import Path
from typing import Any

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_lines import read_lines
from convmodel.data.containers import InputFile
from convmodel.data.data_file import DataFile
from convmodel.data.formats.base import Problem
from convmodel.data.options import ReadOptions


def begin(number: int, text: str, last: str) -> ChatMessage | None:
    if text == "> bad":
        raise ValueError("it is bad; remove it")
    return ChatMessage(number, "chat", None, "Ida", text[2:]) if text.startswith("> ") and not last else None


def read(folder: Path, content: bytes, **options: Any) -> list[Any]:
    (folder / "x.txt").write_bytes(content)
    file = DataFile(InputFile(str(folder / "x.txt")), ReadOptions(**options))
    found = read_lines(file, begin, lambda message: message._replace(text=message.text.strip()))
    return [each.message if isinstance(each, Problem) else (each.line, each.text) for each in found]


def test_lines_belong_to_the_message_before_them(tmp_path: Path) -> None:
    assert read(tmp_path, b"\n> a\n> b\n\n> c\nd\n\n") == [(2, "a\n> b"), (5, "c\nd")]


def test_lines_of_no_message_are_problems(tmp_path: Path) -> None:
    outside = "the line begins with neither date nor message; remove it"
    assert read(tmp_path, b"a\n\n> b\n> bad\n\nc\n\n> d\n") == [
        *(outside, (3, "b"), "it is bad; remove it", (8, "d"))  # c belongs to what is bad
    ]
    found = read(tmp_path, b"> a\n\xff\n\n> b\n")
    assert (found[0], found[2]) == ((1, "a"), (4, "b")) and "not UTF-8" in found[1]


def test_lines_beyond_the_limit_are_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, b"> a\nbbbbb\nccccc\nd\n", max_line_bytes=8) == [(1, "a\nbbbbb")]
