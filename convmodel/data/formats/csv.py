"""Tables in text files: CSV, separated by commas, semicolons or bars, and TSV. Each row is a conversation or a turn."""

from collections.abc import Iterator, Sequence
from functools import partial

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, FileFormat, Problem, Record, quote_names
from convmodel.data.options import ReadOptions, name_option
from convmodel.data.shapes.reading import read_items
from convmodel.data.shapes.registry import match_shapes
from convmodel.data.tables import DELIMITERS, TableHeader, find_header, read_table


def score(head: Head, *, delimiters: str) -> Certainty:
    """Return LIKELY if the first line is a header whose columns match a known shape, and NONE otherwise."""
    table = find_header(head.lines, delimiters, partial(has_known_columns, options=head.options))
    if table is None or (len(table.names) == 1 and table.delimiter == "\t"):
        return Certainty.NONE  # a single column, which fits any separator, is CSV
    return Certainty.LIKELY


def find_fault(head: Head, *, delimiters: str) -> str | None:
    """Return an error message if the columns of a table match no known shape, and None otherwise."""
    table = find_header(head.lines, delimiters, lambda names: len(names) > 1)
    if table is None or score(head, delimiters=delimiters):
        return None
    try:
        check_columns(table.names, head.options, texts=True)
    except ValueError as error:
        return str(error)
    return None


def has_known_columns(names: Sequence[str], options: ReadOptions) -> bool:
    """Return whether the columns of a text table match a known shape that does not need lists in the cells."""
    try:
        return any(shape.fits is None for shape, _ in match_shapes(names, options))
    except ValueError:
        return False


def check_columns(names: Sequence[str], options: ReadOptions, *, texts: bool = False) -> None:
    """Check that the columns of a table match a known shape.

    Args:
        names: the names of the columns.
        options: the options of the reader.
        texts: whether all cells are texts, so that shapes with lists are excluded.

    Raises:
        ValueError: when they match none; the message lists the columns.
    """
    if not any(shape.fits is None or not texts for shape, _ in match_shapes(names, options)):
        option = name_option("columns", "context=NAME,response=NAME")
        remedy = f"call two of them context and response, or give {option}"
        raise ValueError(f"the columns are {quote_names(names)}; {remedy}, or id=NAME,speaker=NAME,text=NAME")


def read(file: DataFile, *, delimiters: str) -> Iterator[Record | Problem]:
    """Yield one record or problem per row. A row may span several lines, and is identified by its first line."""

    def check(table: TableHeader) -> None:
        check_columns(table.names, file.options, texts=True)
        if table.delimiter not in (",", "\t"):
            file.notes.add(f"separated by {DELIMITERS.get(table.delimiter, repr(table.delimiter))}s")

    rows = read_table(file.lines(), delimiters=delimiters, check=check, limit=file.options.line_limit, notes=file.notes)
    return read_items(rows, file.options, file.notes, cells=True, unit="row")


def _table(name: str, suffixes: tuple[str, ...], delimiters: str) -> FileFormat[Record]:
    scored = partial(score, delimiters=delimiters)
    faulty = partial(find_fault, delimiters=delimiters)
    return FileFormat(name, name.upper(), "row", suffixes, scored, partial(read, delimiters=delimiters), faulty)


CSV = _table("csv", (".csv",), ",;|")
TSV = _table("tsv", (".tsv", ".tab"), "\t")
