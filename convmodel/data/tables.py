"""Reading the rows of text tables (CSV and TSV).

The csv module of Python is not used: its length limit of a field is a setting of the whole process, and after a row
that cannot be parsed, reading must continue at the next line of the file.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from convmodel.data.cells import RowCells, split_row
from convmodel.data.data_file import Notes
from convmodel.data.formats.base import Item, TextLine
from convmodel.data.options import DEFAULT_MAX_LINE_BYTES, name_option
from convmodel.data.shapes.registry import list_names

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
"""The supported separators with their names."""

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_SWALLOWED = 5
"""Minimum number of lines within a quoted value that could all be rows, at which the value is refused.

Its quote was probably never closed.
"""


class TableHeader(NamedTuple):
    """The header of a table.

    Args:
        names: the names of the columns, without white space at their ends.
        delimiter: the separator.
    """

    names: list[str]
    delimiter: str


def read_table(
    lines: Iterable[TextLine],
    *,
    delimiters: str,
    check: Callable[[TableHeader], None],
    limit: int = DEFAULT_MAX_LINE_BYTES,
    notes: Notes | None = None,
) -> Iterator[Item]:
    """Yield the rows of a table with a header as dicts of cells by column name.

    Rows of empty cells are skipped, like blank lines. Repetitions of the header, as in files that were joined, are
    skipped too. After a row that cannot be parsed, reading continues at the next line.

    Args:
        lines: the lines of the file.
        delimiters: the possible separators, in order of preference. A line such as `sep=;` before the header overrides
            them.
        check: a function that is called with the header; it raises ValueError for columns that cannot be used.
        limit: the length limit of a row in characters.
        notes: the notes for the report of this pass, in which repeated headers are counted.
    """
    rows = _RowReader(lines, limit)
    number, table = _read_header(rows, delimiters, check)
    if table is None:
        return
    if isinstance(table, str):
        yield Item(number, None, table)
        return
    header = table.names if len(table.names) > 1 else None
    while (line := rows.next_line()) is not None:
        row = rows.read(line, table)
        if isinstance(row, str):
            yield Item(line.number, None, row)
        elif row == header:
            if notes is not None:
                notes.left_out["repeated header"] += 1
        elif any(map(str.strip, row)):
            yield _item(line.number, row, table)


def find_header(lines: Sequence[str], delimiters: str, fits: Callable[[Sequence[str]], bool]) -> TableHeader | None:
    """Return the header of a table; None if no separator splits it into columns that `fits` accepts.

    Args:
        lines: the first lines of a file, none of them blank.
        delimiters: the possible separators, in order of preference.
        fits: a function that returns whether a table may have columns of the given names.
    """
    match = _SEPARATOR_LINE.fullmatch(lines[0].strip(" ")) if lines else None
    if match is not None:
        delimiters = match[1] if match[1] in delimiters else ""
    for delimiter in delimiters:
        row = split_row(lines[1 if match else 0], delimiter) if len(lines) > bool(match) else None
        if isinstance(row, list) and fits(row):
            return TableHeader(_clean(row), delimiter)
    return None


def _read_header(
    rows: "_RowReader", delimiters: str, check: Callable[[TableHeader], None]
) -> tuple[int, TableHeader | str | None]:
    """Return the line number of the header, and the header itself, an error message, or None for an empty table."""
    line = rows.next_line()
    if line is not None and (match := _SEPARATOR_LINE.fullmatch(line.text.strip(" "))):
        delimiters = match[1]
        line = rows.next_line()
    if line is None:
        return 1, None
    table: TableHeader | None = None
    error = ""
    for delimiter in _order(line.text, delimiters):
        row = rows.read(line, TableHeader([], delimiter))
        if isinstance(row, str):
            error = error or row
            continue
        table = TableHeader(_clean(row), delimiter)
        try:
            list_names(table.names)
            check(table)
            return line.number, table
        except ValueError as fault:
            error = error or str(fault)
            rows.rewind()
    return line.number, error


def _order(header: str, delimiters: str) -> list[str]:
    """Return the separators in the order in which to try them: the most frequent one in the header first."""
    return sorted(delimiters, key=lambda delimiter: -header.count(delimiter))


def _clean(row: Sequence[str]) -> list[str]:
    """Return the names of columns without white space at their ends.

    Unnamed columns at the end are dropped; others are called "column 2" and so on.
    """
    names = [name.strip() for name in row]
    while len(names) > 1 and not names[-1]:
        names.pop()
    return [name or f"column {position}" for position, name in enumerate(names, 1)]


def _item(number: int, row: list[str], table: TableHeader) -> Item:
    columns = len(table.names)
    while len(row) > columns and not row[-1].strip():
        row.pop()  # empty cells that spreadsheets write after the last column
    if len(row) == columns:
        return Item(number, dict(zip(table.names, row, strict=True)))
    counts = f"the row has {len(row)} columns, the header {columns}"
    separator = DELIMITERS.get(table.delimiter, repr(table.delimiter))
    return Item(number, None, f"{counts}; quote the values that hold a {separator} or a quote")


class _RowReader:
    """Reader of rows from lines.

    After a row that cannot be parsed, it reads the lines after the row's first line again.

    Args:
        lines: the lines.
        limit: the length limit of a row in characters.
    """

    def __init__(self, lines: Iterable[TextLine], limit: int) -> None:
        self._lines = iter(lines)
        self._again: deque[TextLine] = deque()
        self._taken: list[TextLine] = []
        self._limit = limit

    def next_line(self) -> TextLine | None:
        """Return the next line that is not blank; None at the end."""
        self._taken.clear()
        for line in iter(self._next, None):
            if line.problem is not None or line.text.strip():
                return line
        return None

    def read(self, first: TextLine, table: TableHeader) -> list[str] | str:
        """Return the cells of the row that begins with a line, or an error message.

        After an error, `next_line` continues with the line after `first`.

        Args:
            first: the first line of the row.
            table: the header. Without names in it, the row may have any number of cells.
        """
        cells = RowCells(table.delimiter)
        length = len(first.text)
        line = first
        problem = first.problem
        while True:
            try:
                if cells.add(line.text):
                    break
            except ValueError as error:
                return self._give_up(f"not a row: {error} (at line {line.number}); {_QUOTE}", first)
            following = self._next()
            if following is None:
                return self._give_up(f"not a row: a quote is never closed; {_QUOTE}", first)
            self._taken.append(following)
            line = following
            problem = problem or line.problem
            length += len(line.text) + 1
            if length > self._limit:
                limit = name_option("max_line_bytes", self._limit)
                return self._give_up(f"the row is longer than {limit}; {_QUOTE}", first)
        row = cells.cells
        if self._has_swallowed(table) or (self._taken and table.names and len(row) != len(table.names)):
            return self._give_up(f"not a row: a quote is closed {len(self._taken)} lines later; {_QUOTE}", first)
        return problem or row

    def rewind(self) -> None:
        """Put the lines of the last row, except its first line, back in front of the lines to read."""
        self._again.extendleft(reversed(self._taken))
        self._taken.clear()

    def _give_up(self, message: str, first: TextLine) -> str:
        self.rewind()
        return first.problem or message

    def _has_swallowed(self, table: TableHeader) -> bool:
        """Return whether a quoted value seems to contain whole rows, because its quote was never closed."""
        inside = self._taken[:-1]
        rows = (split_row(line.text, table.delimiter) for line in inside)
        return len(inside) >= _SWALLOWED and all(row is not None and len(row) == len(table.names) > 1 for row in rows)

    def _next(self) -> TextLine | None:
        return self._again.popleft() if self._again else next(self._lines, None)


_QUOTE = "close the quotes, and double those inside"
