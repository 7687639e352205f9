"""Reading the records of JSON values and rows of any known shape."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import Item, Problem, Record, describe_type, quote_names
from convmodel.data.messages import ROLES, join_turns, split_messages
from convmodel.data.options import ReadOptions, name_option
from convmodel.data.shapes.base import Fields, Shape, read_turns
from convmodel.data.shapes.registry import find_shape, is_utterance, match_shapes

WANTED = 'write a list of turns, {"turns": [...]} or {"messages": [...]}'

_encode = json.JSONEncoder(ensure_ascii=False).encode

_MAX_UTTERANCES = 100_000
"""The limit of utterances of one conversation: more are hardly one, and must not fill the memory."""


class ShapeReader:
    """Converts JSON values and rows to records.

    Args:
        options: the options of the reader.
        notes: the remarks on this pass.
        cells: whether the values are the cells of a text table.
        unit: the name of an item in error messages: "line", "row".
    """

    def __init__(self, options: ReadOptions, notes: Notes, *, cells: bool = False, unit: str = "line") -> None:
        self._options = options
        self._notes = notes
        self._cells = cells or bool(options.roles)
        self._unit = unit
        self._matches: dict[tuple[str, ...], list[tuple[Shape, dict[str, str]]]] = {}

    def read(self, items: Iterable[Item]) -> Iterator[Record | Problem]:
        """Yield the records and problems; consecutive utterances of one conversation become one record."""
        group = _Utterances(self._notes)
        for item in items:
            try:
                if item.problem is not None:
                    raise ValueError(item.problem)
                fields = self._fields(item)
                if isinstance(fields, Fields):
                    yield from group.add(fields)
                    continue
                result: Record | Problem = fields
            except ValueError as error:
                result = Problem(item.number, str(error))
            yield from group.finish()
            yield result
        yield from group.finish()

    def _fields(self, item: Item) -> Record | Fields:
        """Return the record of an item, or the fields of one utterance.

        Raises:
            ValueError: when the item is not a conversation.
        """
        value = item.value
        if isinstance(value, list):
            return _list_record(item.number, value, self._notes)
        if not isinstance(value, dict):
            raise ValueError(f"the {self._unit} is {describe_type(value)}; {WANTED}")
        shape, roles = self._shape(value)
        if shape.name:
            self._notes.add(shape.name)
        fields = Fields(item.number, roles, value, self._notes, self._cells)
        return fields if is_utterance(roles) else _check_meta(shape.build(fields))

    def _shape(self, value: Mapping[str, Any]) -> tuple[Shape, dict[str, str]]:
        names = tuple(value)
        if names not in self._matches:
            if len(self._matches) > 1000:  # of objects whose keys are data
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
    if isinstance(first, list):
        raise ValueError("turn 1 is a list, not a string; write one conversation a line, not all in one list")
    if not isinstance(first, dict):
        return Record(number, value)
    chat = read_turns(value, notes)
    return Record(number, chat.turns, chat.persona)


class _Utterances:
    """The utterances of a conversation that is not yet complete."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._first: Fields | None = None
        self._identity: Any = None
        self._said: list[tuple[Any, Any]] = []
        self._meta: dict[str, Any] = {}
        self._problem: Problem | None = None

    def add(self, fields: Fields) -> Iterator[Record | Problem]:
        """Add an utterance; yield the conversation before it if it begins another one."""
        identity = fields.values.get(fields.roles["id"])
        if self._first is None or identity != self._identity:
            yield from self.finish()
            self._first = fields
            self._identity = identity
            self._meta = {key: value for key, value in fields.values.items() if not self._is_used(fields, key)}
        self._meta = {key: value for key, value in self._meta.items() if fields.values.get(key) == value}
        text = fields.values.get(fields.roles["text"])
        if not isinstance(text, str):
            self._problem = self._problem or Problem(
                fields.number, f"the text is {describe_type(text)}, not a string; give each utterance its text"
            )
        elif len(self._said) >= _MAX_UTTERANCES:
            limit = f"{_MAX_UTTERANCES:,} utterances"
            self._problem = self._problem or Problem(fields.number, f"the conversation has more than {limit}; split it")
        elif text.strip():
            speaker = fields.values.get(fields.roles["speaker"]) if "speaker" in fields.roles else len(self._said)
            self._said.append((speaker, text))

    def finish(self) -> Iterator[Record | Problem]:
        """Yield the conversation, or the problem of one of its utterances."""
        first = self._first
        said = self._said
        problem = self._problem
        self._first = None
        self._said = []
        self._problem = None
        if first is None:
            return
        try:
            yield problem or self._record(first, said)
        except ValueError as error:
            yield Problem(first.number, str(error))

    def _record(self, first: Fields, said: list[tuple[Any, Any]]) -> Record:
        meta = self._meta
        if said and all(isinstance(speaker, str) and speaker.strip().lower() in ROLES for speaker, _ in said):
            chat = split_messages([{"role": speaker, "content": text} for speaker, text in said])
            if chat.skipped:
                self._notes.left_out["tool message"] += chat.skipped
            return Record(first.number, chat.turns, chat.persona, meta or None)
        return Record(first.number, [text for _, text in join_turns(said)], (), meta or None)

    @staticmethod
    def _is_used(fields: Fields, key: str) -> bool:
        return key in (fields.roles.get("speaker"), fields.roles["text"])
