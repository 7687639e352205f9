"""DailyDialog's text files (`dialogues_text.txt`): a conversation per line, with `__eou__` after each turn.

Source: arXiv:1710.03957 and its archive of 2017.
"""

from collections.abc import Iterator

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, FileFormat, Problem, Record
from convmodel.data.lines import parse_lines

_MARK = "__eou__"


def score(head: Head) -> Certainty:
    """Return SURE if every line has the mark `__eou__`, which ends a turn, and NONE otherwise."""
    whole = head.whole_lines
    return Certainty.SURE if all(_MARK in line for line in whole) else Certainty.NONE


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield one record or problem per line."""
    return parse_lines(file.lines(), _parse)


def _parse(number: int, text: str) -> Record:
    if _MARK not in text:
        raise ValueError(f"there is no {_MARK}; write it after each turn, or remove the line")
    return Record(number, [turn for part in text.split(_MARK) if (turn := part.strip())])


DAILYDIALOG = FileFormat("dailydialog", "DailyDialog lines", "line", (), score, read)
