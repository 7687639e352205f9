"""The Cornell Movie-Dialogs Corpus: `movie_conversations.txt` with `movie_lines.txt` beside it.

Source: its archive of 2011. Fields are separated by ` +++$+++ `. A conversation lists the ids of its lines; the other
files of the archive are skipped. The lines are looked up in a temporary database, not in memory. The original files
are in cp1252.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Literal

from convmodel.data.containers import InputFile
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, GroupFormat, Problem, Record
from convmodel.data.shapes.speakers import Said, join_said

_SEPARATOR = re.compile(r"\s*\+\+\+\$\+\+\+\s*")
_ID = re.compile(r"L\d+")
_TITLE = "Cornell Movie-Dialogs Corpus"
_LINES = "movie_lines.txt"
_CONVERSATIONS = "movie_conversations.txt"

_Kind = Literal["lines", "conversations", "other"]


def score(head: Head) -> Certainty:
    """Return SURE if the first line has the separator, or the title of the archive's readme, and NONE otherwise."""
    is_known = _SEPARATOR.search(head.lines[0]) or _TITLE in head.lines[0]
    return Certainty.SURE if is_known else Certainty.NONE


class CornellFormat(GroupFormat[Record]):
    """The format of the corpus, whose two files are read together."""

    def __init__(self) -> None:
        super().__init__("cornell", "Cornell movie dialogues", "line", (), score, lambda file: self.read_files([file]))

    def read_files(self, files: Sequence[DataFile]) -> Iterator[Record | Problem]:
        """Yield the conversations of the files, folder by folder.

        If only one of the two files of a folder is given, the other one is read from the same folder or archive.
        """
        kinds: dict[_Kind, dict[str, DataFile]] = {"lines": {}, "conversations": {}, "other": {}}
        for file in files:
            kinds[_kind(file)][_folder(file.file)] = file
        for folder in dict.fromkeys(map(_folder, (file.file for file in files))):
            given = kinds["lines"].get(folder) or kinds["conversations"].get(folder)
            if given is None:
                continue
            lines = kinds["lines"].get(folder) or _beside(given, _LINES)
            conversations = kinds["conversations"].get(folder) or _beside(given, _CONVERSATIONS)
            if lines is None or conversations is None:
                missing = _LINES if lines is None else _CONVERSATIONS
                yield Problem(1, f"there is no {missing} beside it; put both files into one folder", given.name)
            else:
                yield from _read(lines, conversations)


def _kind(file: DataFile) -> _Kind:
    fields = _SEPARATOR.split(file.head.lines[0]) if file.head.lines else []
    if len(fields) == 5 and _ID.fullmatch(fields[0]):
        return "lines"
    return "conversations" if len(fields) == 4 and fields[3].startswith("[") else "other"


def _folder(file: InputFile) -> str:
    return os.path.dirname(file.name)


def _beside(file: DataFile, name: str) -> DataFile | None:
    """Return the file called `name` in the folder or archive of another file; None if it is missing or empty."""
    path = file.file.path
    member = file.file.member
    if member is not None:
        found = InputFile(path, "/".join([*member.split("/")[:-1], name]))
    else:
        found = InputFile(os.path.join(os.path.dirname(path), name))
    beside = DataFile(found, file.options, file.noun, file.notes)
    try:
        return beside if beside.head.lines else None
    except OSError:
        return None


def _read(lines: DataFile, conversations: DataFile) -> Iterator[Record | Problem]:
    with closing(sqlite3.connect("")) as base:
        base.execute("CREATE TABLE line (id TEXT PRIMARY KEY, speaker TEXT, text TEXT)")
        for line in lines.lines():
            fields = _SEPARATOR.split(line.text, maxsplit=4)
            if line.problem is not None:
                yield Problem(line.number, line.problem, lines.name)
            elif len(fields) == 5:
                base.execute("INSERT OR REPLACE INTO line VALUES (?, ?, ?)", (fields[0].strip(), fields[1], fields[4]))
            elif line.text.strip():
                yield Problem(line.number, "the line needs five fields; remove it, or fetch it again", lines.name)
        for line in conversations.lines():
            if line.problem is not None:
                yield Problem(line.number, line.problem, conversations.name)
            elif line.text.strip():
                try:
                    yield _record(line.number, line.text, base, conversations)
                except ValueError as error:
                    yield Problem(line.number, str(error), conversations.name)


def _record(number: int, text: str, base: sqlite3.Connection, file: DataFile) -> Record:
    fields = _SEPARATOR.split(text)
    said: list[Said] = []
    for identity in _ID.findall(fields[-1]):
        found = base.execute("SELECT speaker, text FROM line WHERE id = ?", (identity,)).fetchone()
        if found is None:
            raise ValueError(f"line {identity} is not in {_LINES}; fetch both files again")
        said.append(Said(*found))
    chat = join_said(said, file.notes)
    meta = {"movie": fields[2]} if len(fields) == 4 else None
    return Record(number, chat.turns, chat.persona, meta, file=file.name, names=chat.names)


CORNELL = CornellFormat()
