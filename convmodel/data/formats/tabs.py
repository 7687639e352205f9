"""Lines with the turns of a conversation between tabs, without a header: `Hello<TAB>Hi<TAB>How are you?`."""

import re
from collections.abc import Iterator, Sequence

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, FileFormat, Problem, Record
from convmodel.data.formats.json import looks_like_json
from convmodel.data.lines import parse_lines

_NAME = re.compile(r"[^\W\d][\w.-]{0,39}")
_NUMBER = re.compile(r"[-+]?[\d.,:/-]+")


def score(head: Head) -> Certainty:
    """Return WEAK if the lines may be turns between tabs, and NONE otherwise.

    All lines must have tabs, the first line must not look like a header, and no column may hold only numbers or names
    of speakers. The result is never more than WEAK, because other formats have tabs too.
    """
    rows = [_split(line) for line in head.whole_lines]
    has_names = all(row[0].endswith(":") for row in rows)
    if has_names or looks_like_json(head.lines[0]) or not all(len(row) > 1 for row in rows):
        return Certainty.NONE
    columns = list(zip(*rows, strict=False))
    if _is_header(rows) or any(all(map(_NUMBER.fullmatch, column)) for column in columns):
        return Certainty.NONE
    return Certainty.WEAK


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first line is like a header: all its cells are names, unlike most cells of other lines."""
    others = [cell for row in rows[1:] for cell in row]
    names = sum(_NAME.fullmatch(cell) is not None for cell in others)
    return all(map(_NAME.fullmatch, rows[0])) and bool(others) and 2 * names < len(others)


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield one record or problem per line."""
    return parse_lines(file.lines(), lambda number, text: Record(number, _split(text)))


def _split(line: str) -> list[str]:
    """Return the turns of a line, without empty ones at its end."""
    return [turn.strip() for turn in line.rstrip().split("\t")]


TABS = FileFormat("tabs", "turns between tabs", "line", (), score, read)
