"""Reading the records of JSON values and rows of any known shape."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import Item, Problem, Record, describe_type, quote_names
from convmodel.data.options import ReadOptions, name_option
from convmodel.data.shapes.base import Fields, RowGroup, Shape, read_turns
from convmodel.data.shapes.registry import find_shape, match_shapes
from convmodel.data.shapes.speakers import find_identity, holds_utterances

WANTED = 'write a list of turns, {"turns": [...]} or {"messages": [...]}'

_encode = json.JSONEncoder(ensure_ascii=False).encode


class ShapeReader:
    """Converter of JSON values and rows to records.

    Args:
        options: the options of the reader.
        notes: the notes for the report of this pass.
        cells: whether the values are the cells of a text table.
        unit: the name of an item in error messages: "line", "row".
    """

    def __init__(self, options: ReadOptions, notes: Notes, *, cells: bool = False, unit: str = "line") -> None:
        self._options = options
        self._notes = notes
        self._cells = cells or bool(options.roles)
        self._unit = unit
        self._group: RowGroup | None = None
        self._grouped: Shape | None = None
        self._matches: dict[tuple[str, ...], list[tuple[Shape, dict[str, str]]]] = {}

    def read(self, items: Iterable[Item]) -> Iterator[Record | Problem]:
        """Yield the records and problems; consecutive rows of one conversation become one record."""
        for item in items:
            try:
                if item.problem is not None:
                    raise ValueError(item.problem)
                yield from self._read(item)
            except ValueError as error:
                yield from self._finish()
                yield Problem(item.number, str(error))
        yield from self._finish()

    def _read(self, item: Item) -> Iterator[Record | Problem]:
        """Yield the records of an item. If it ends a group of rows, the records of the group are yielded first.

        Raises:
            ValueError: when the item is not a conversation.
        """
        value = item.value
        if isinstance(value, list):
            record = _list_record(item.number, value, self._notes)
            yield from self._finish()
            yield record
            return
        if not isinstance(value, dict):
            raise ValueError(f"the {self._unit} is {describe_type(value)}; {WANTED}")
        shape, roles = self._shape(value)
        if shape.name:
            self._notes.add(shape.name)
        fields = Fields(item.number, roles, value, self._notes, self._cells)
        if shape.group is not None:
            yield from self._add_row(shape, shape.group, fields)
            return
        built = shape.build(fields)
        yield from self._finish()
        yield from map(_check_meta, (built,) if isinstance(built, Record) else built)

    def _add_row(
        self, shape: Shape, new_group: Callable[[Notes], RowGroup], fields: Fields
    ) -> Iterator[Record | Problem]:
        if self._group is None or self._grouped is not shape:
            yield from self._finish()
            self._group = new_group(self._notes)
            self._grouped = shape
        yield from self._group.add(fields)

    def _finish(self) -> Iterator[Record | Problem]:
        if self._group is not None:
            yield from self._group.finish()
        self._group = None

    def _shape(self, value: Mapping[str, Any]) -> tuple[Shape, dict[str, str]]:
        names = tuple(value)
        if names not in self._matches:
            if len(self._matches) > 1000:  # the keys of such objects are data, not names
                self._matches.clear()
            self._matches[names] = match_shapes(names, self._options)
        found = find_shape(value, self._matches[names])
        if found is None:
            keys = quote_names(value)
            option = name_option("columns", "context=NAME,response=NAME")
            raise ValueError(f"the object has no turns (its keys: {keys}); {WANTED}, or name them with {option}")
        return found


def read_items(
    items: Iterable[Item], options: ReadOptions, notes: Notes, *, cells: bool = False, unit: str = "line"
) -> Iterator[Record | Problem]:
    """Yield the records and problems of JSON values and rows; see `ShapeReader`."""
    return ShapeReader(options, notes, cells=cells, unit=unit).read(items)


def _check_meta(record: Record) -> Record:
    """Check that the meta of a record can be written.

    Raises:
        ValueError: for a lone surrogate.
    """
    try:
        if record.meta:
            _encode(record.meta).encode()
    except UnicodeEncodeError:
        raise ValueError("a value beside the turns holds a lone surrogate (\\ud...); remove it") from None
    return record


def _list_record(number: int, value: list[Any], notes: Notes) -> Record:
    first = value[0] if value else None
    if isinstance(first, list) and not holds_utterances(value):
        raise ValueError("turn 1 is a list, not a string; write one conversation a line, not all in one list")
    if not isinstance(first, list | dict):
        return Record(number, value)
    if (key := find_identity(value)) is not None:
        option = name_option("columns", f"id={key},speaker=NAME,text=NAME")
        raise ValueError(f"the list seems to hold several conversations, one for each {key!r}; read it with {option}")
    chat = read_turns(value, notes, named=True)
    return Record(number, chat.turns, chat.persona, speakers=chat.speakers, names=chat.names)
