"""CSV and TSV with the columns context and response: one row is one conversation of two turns."""

import csv
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from convmodel.data.formats.base import FileFormat, Line, Problem, Record, quote_names

_NEEDED = ("context", "response")


def sniff(first_lines: Sequence[str], *, delimiter: str) -> bool:
    """The first line is a header with both columns."""
    return set(_NEEDED) <= columns(first_lines, delimiter=delimiter)


def columns(first_lines: Sequence[str], *, delimiter: str) -> set[str]:
    """The names in a header, in lower case; none when the first line is no row."""
    try:
        header = next(csv.reader(first_lines[:1], delimiter=delimiter), [])
    except csv.Error:
        return set()
    return {name.strip().lower() for name in header}


def read(lines: Iterator[Line], *, delimiter: str) -> Iterator[Record | Problem]:
    """One record or problem a row; a row may go over several lines and is told by its first."""
    for number, fields in read_fields(lines, delimiter=delimiter, header=_header):
        if isinstance(fields, str):
            yield Problem(number, fields)
        else:
            yield Record(number, [fields.pop(name) for name in _NEEDED], (), fields or None)


def read_fields(
    lines: Iterator[Line], *, delimiter: str, header: Callable[[Sequence[str]], list[str]]
) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yields the number of each row's first line, and its values by column or what is wrong with it.

    Args:
        lines: of which the first row names the columns.
        delimiter: "," or a tab.
        header: the names as written -> the names as used; it raises ValueError when one is missing.
    """
    names: list[str] | None = None
    for number, row in _rows(lines, delimiter):
        if isinstance(row, str):
            yield number, row
        elif names is None:
            try:
                names = header(row)
            except ValueError as error:
                yield number, str(error)
                return
        elif len(row) != len(names):
            columns = f"the row has {len(row)} columns, the header {len(names)}"
            yield number, f"{columns}; quote the values that hold a {_NAMES[delimiter]} or a quote"
        else:
            yield number, dict(zip(names, row, strict=True))


def _header(row: Sequence[str]) -> list[str]:
    names = [name.strip() for name in row]
    if not set(_NEEDED) <= {name.lower() for name in names}:
        raise ValueError(f"the columns are {quote_names(row)}; call two of them context and response")
    return [name.lower() if name.lower() in _NEEDED else name for name in names]


class _Feed:
    """Lines as the csv module wants them, which remembers what was wrong with the lines of a row."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self.number = 0
        self.problem: str | None = None

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number = line.number
        # What could be saved of a broken line is passed on, so that a quote which it closes is closed.
        self.problem = self.problem or line.problem
        return line.text + "\n"


def _rows(lines: Iterator[Line], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yields the number of each row's first line, and the row or what is wrong with it; no blank rows."""
    feed = _Feed(lines)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        begin, feed.problem = feed.number + 1, None
        try:
            row: list[str] | str = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            what = str(error).partition(" - ")[0]  # after that stands advice to programmers
            row = f"not a row: {what} (at line {feed.number}); close the quotes, and double those inside"
        if feed.problem:
            row = feed.problem
        if row:
            yield begin, row


_NAMES = {",": "comma", "\t": "tab"}


def _table(name: str, human_name: str, suffixes: tuple[str, ...], delimiter: str) -> FileFormat[Record]:
    return FileFormat(
        name=name,
        human_name=human_name,
        unit="row",
        suffixes=suffixes,
        sniff=partial(sniff, delimiter=delimiter),
        read=partial(read, delimiter=delimiter),
    )


CSV = _table("csv", "CSV", (".csv",), ",")
TSV = _table("tsv", "TSV", (".tsv", ".tab"), "\t")
