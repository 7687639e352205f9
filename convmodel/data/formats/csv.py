"""CSV and TSV with the columns context and response: each row is a conversation of two turns."""

import csv
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from convmodel.data.formats.base import FileFormat, Problem, Record, TextLine, quote_names

_NEEDED = ("context", "response")


def sniff(first_lines: Sequence[str], *, delimiter: str) -> bool:
    """Return whether the first line is a header with both columns."""
    return set(_NEEDED) <= columns(first_lines, delimiter=delimiter)


def columns(first_lines: Sequence[str], *, delimiter: str) -> set[str]:
    """Return the column names of a header in lower case; an empty set when the first line is not a valid row."""
    try:
        header = next(csv.reader(first_lines[:1], delimiter=delimiter), [])
    except csv.Error:
        return set()
    return {name.strip().lower() for name in header}


def read(lines: Iterator[TextLine], *, delimiter: str) -> Iterator[Record | Problem]:
    """Yield one record or problem per row. A row may span several lines, and is identified by its first line."""
    for number, fields in read_fields(lines, delimiter=delimiter, header=_header):
        if isinstance(fields, str):
            yield Problem(number, fields)
        else:
            yield Record(number, [fields.pop(name) for name in _NEEDED], (), fields or None)


def read_fields(
    lines: Iterator[TextLine], *, delimiter: str, header: Callable[[Sequence[str]], list[str]]
) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Parse the rows of a file with a header.

    Args:
        lines: the lines of the file, of which the first row names the columns.
        delimiter: "," or a tab.
        header: a function from the column names of the file to the names of the fields; it raises ValueError when a
            column is missing.

    Yields:
        The number of each row's first line, and its values by field name, or an error message.
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
            counts = f"the row has {len(row)} columns, the header {len(names)}"
            yield number, f"{counts}; quote the values that hold a {_NAMES[delimiter]} or a quote"
        else:
            yield number, dict(zip(names, row, strict=True))


def _header(row: Sequence[str]) -> list[str]:
    names = [name.strip() for name in row]
    if not set(_NEEDED) <= {name.lower() for name in names}:
        raise ValueError(f"the columns are {quote_names(row)}; call two of them context and response")
    return [name.lower() if name.lower() in _NEEDED else name for name in names]


class _Feed:
    """An iterator of lines for the csv module that keeps the first problem of a row's lines."""

    def __init__(self, lines: Iterator[TextLine]) -> None:
        self._lines = lines
        self.number = 0
        self.problem: str | None = None

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number = line.number
        # The readable part of a broken line is passed on, because it may close a quote.
        self.problem = self.problem or line.problem
        return line.text + "\n"


def _rows(lines: Iterator[TextLine], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the number of each row's first line, and the row or an error message; blank rows are skipped."""
    feed = _Feed(lines)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        first_line = feed.number + 1
        feed.problem = None
        try:
            row: list[str] | str = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = str(error).partition(" - ")[0]  # the rest is advice for programmers
            row = f"not a row: {reason} (at line {feed.number}); close the quotes, and double those inside"
        if feed.problem:
            row = feed.problem
        if row:
            yield first_line, row


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
