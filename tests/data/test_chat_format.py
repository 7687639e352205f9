"""Formats of chat exports: several files are one export, and some know as whom the model replies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_format import ChatFormat, chain_files, sort_files
from convmodel.data.containers import InputFile
from convmodel.data.data_file import DataFile
from convmodel.data.formats.base import Certainty, DataFileError, Record
from convmodel.data.options import ReadOptions


def read(file: DataFile) -> Iterator[ChatMessage]:
    for line in file.lines():
        time, sender, text = line.text.split()
        yield ChatMessage(line.number, "chat", float(time), sender, text)


def files(folder: Path, *contents: str, me: str | None = None) -> list[DataFile]:
    made = []
    for number, content in enumerate(contents):
        (folder / f"{number}.txt").write_text(content)
        made.append(DataFile(InputFile(str(folder / f"{number}.txt")), ReadOptions(me=me)))
    return made


def turns(format: ChatFormat, given: list[DataFile]) -> list[tuple[str, list[str]]]:
    records = [record for record in format.read_files(given) if isinstance(record, Record)]
    return [(Path(record.file or "").name, record.turns) for record in records]


def test_the_files_of_an_export_are_one_after_the_other_or_sorted(tmp_path: Path) -> None:
    given = files(tmp_path, "3 Ida c\n4 Bo d\n", "1 Ida a\n2 Bo b\n", me="Bo")
    chained = ChatFormat("x", "X", lambda head: Certainty.NONE, read)
    assert chained.combine is chain_files
    assert turns(chained, given) == [("0.txt", ["c", "d", "a", "b"])]
    assert turns(ChatFormat("x", "X", lambda head: Certainty.NONE, read, combine=sort_files), given) == [
        ("1.txt", ["a", "b", "c", "d"])
    ]


def test_a_format_may_know_as_whom_the_model_replies(tmp_path: Path) -> None:
    given = files(tmp_path, "1 Ida a\n2 Bo b\n3 Ida c\n")
    with pytest.raises(DataFileError, match="say which person"):
        turns(ChatFormat("x", "X", lambda head: Certainty.NONE, read), given)
    known = ChatFormat("x", "X", lambda head: Certainty.NONE, read, me="Bo")
    assert turns(known, given) == [("0.txt", ["a", "b"])]
    assert turns(known, files(tmp_path, "1 Ida a\n2 Bo b\n3 Ida c\n", me="Ida")) == [("0.txt", ["a", "b", "c"])]
