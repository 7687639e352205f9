"""JSON objects that hold a table column by column: `{"question": [...], "answer": [...]}`, and as pandas writes them.

The columns are read side by side, each in its own pass over the file, so that no column is held in memory. Objects with
the names of the columns in `columns`, and the rows as lists in `data`, which pandas also writes, are read too.
"""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from convmodel.data.data_file import DataFile
from convmodel.data.formats.base import Item, quote_names
from convmodel.data.json_stream import take_depth
from convmodel.data.options import ReadOptions
from convmodel.data.shapes.registry import fits_shape, match_shapes
from convmodel.data.shapes.speakers import holds_utterances

_MAX_COLUMNS = 64
_CUT_OFF = 2**14
"""Maximum number of characters at which the beginning of a file is surely the whole file; see `Head.is_cut_off`."""


def is_columnar(value: Any, options: ReadOptions) -> bool:
    """Return whether an object holds the columns of a table, not one conversation.

    Args:
        value: the object, or its beginning.
        options: the options of the reader.
    """
    if not isinstance(value, dict) or len(value) > _MAX_COLUMNS or not _has_equal_members(value):
        return False
    try:
        matches = match_shapes(value, options)
    except ValueError:
        return False
    return bool(matches) and all(_is_column(value[key], role) for role, key in matches[0][1].items())


def _has_equal_members(value: Mapping[str, Any]) -> bool:
    members = list(value.values())
    if all(isinstance(member, list) for member in members):
        return bool(members)
    return all(isinstance(member, dict) and member and all(map(str.isdecimal, member)) for member in members)


def _is_column(column: Any, role: str) -> bool:
    first = next(iter(column if isinstance(column, list) else column.values()), "")
    if role in ("turns", "messages"):
        return isinstance(first, list) and not holds_utterances(column)
    return isinstance(column, dict) or not isinstance(first, dict)


def find_columns(file: DataFile) -> list[str]:
    """Return the names of the columns of a file; an empty list if it does not hold a table by columns."""
    value = file.head.value
    if not isinstance(value, dict):
        return []
    if is_columnar(value, file.options):
        names = list(value)
    elif len(file.head.text) > _CUT_OFF and _has_equal_members(value):
        names = []
    else:
        return []
    if len(file.head.text) > _CUT_OFF:
        found = [str(item.path[0]) for item in file.values(take_depth(1)) if item.path]
        names = found if is_columnar({name: value.get(name, []) for name in found}, file.options) else []
    return names


def read_columns(file: DataFile, names: list[str]) -> Iterator[Item]:
    """Yield the rows of a table that is stored by columns. Reading ends where the file is damaged."""
    for cells in zip_longest(*(_cells(file, name) for name in names)):
        problem = next((cell for cell in cells if cell is not None and cell.problem is not None), None)
        ended = [name for name, cell in zip(names, cells, strict=True) if cell is None]
        if problem is not None:
            yield Item(problem.number, None, problem.problem)
            if not problem.path:
                return
        elif ended:
            number = next(cell.number for cell in cells if cell is not None)
            yield Item(number, None, f"the columns {quote_names(ended)} end before the others; make them equally long")
            return
        elif len({cell.path[1] for cell in cells}) > 1:
            yield Item(cells[0].number, None, "the columns have different keys; write the rows one by one")
            return
        else:
            yield Item(cells[0].number, dict(zip(names, (cell.value for cell in cells), strict=True)))


def _cells(file: DataFile, name: str) -> Iterator[Item]:
    for item in file.values(take_depth(2)):
        if not item.path or (len(item.path) > 1 and item.path[0] == name):
            yield item


def find_split_columns(value: Any, options: ReadOptions) -> list[str]:
    """Return the names in `columns` of an object that has its rows in `data`.

    The list is empty for any other object, and if the columns match no known shape.

    Args:
        value: the object, or its beginning.
        options: the options of the reader.
    """
    names = value.get("columns") if isinstance(value, dict) else None
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(names, list) or not isinstance(rows, list) or not all(isinstance(name, str) for name in names):
        return []
    is_known = fits_shape(dict.fromkeys(names, ""), options) and all(isinstance(row, list) for row in rows)
    return names if is_known else []


def read_split(file: DataFile, names: list[str]) -> Iterator[Item]:
    """Yield the rows in `data` as dicts of values by the given names of columns."""
    for item in file.values(take_depth(2)):
        if item.problem is not None:
            yield item
        elif len(item.path) == 2 and item.path[0] == "data":
            row = item.value if isinstance(item.value, list) else []
            fault = None if len(row) == len(names) else "the row does not have one value for each column; correct it"
            yield Item(item.number, dict(zip(names, row, strict=False)), fault)
