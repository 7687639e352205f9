"""Tables with one utterance of a conversation per row."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import Problem, Record, describe_type, shorten
from convmodel.data.shapes.base import Fields, RowGroup
from convmodel.data.shapes.speakers import Said, join_said

_MAX_UTTERANCES = 100_000
"""Maximum number of utterances of a conversation, so that the memory is bounded; more are unlikely to be one."""

_MAX_IDENTITIES = 1_000_000
"""Maximum number of ids that are kept to recognise conversations whose rows are not consecutive."""


_ORDER_NAMES = (
    *("turn", "turnid", "turnidx", "turnindex", "turnno", "turnnumber", "turnnum", "utteranceidx", "utteranceindex"),
    *("uttidx", "uttindex", "messageindex", "msgidx", "idx", "index", "order", "position", "seq", "sequence"),
)
"""Names of columns that number the utterances of a conversation, in lower case, with letters only."""

_PARENT_NAMES = ("replyto", "inreplyto", "parentid", "replytoid")
_OWN_NAMES = ("id", "utteranceid", "messageid", "uttid")


class UtteranceGroup(RowGroup):
    """Collector of the rows of a conversation, each of which is an utterance.

    Args:
        notes: the notes for the report of this pass.
        escapes: the replacements of marks in the texts: `{"_comma_": ","}`.
    """

    def __init__(self, notes: Notes, escapes: Mapping[str, str] | None = None) -> None:
        super().__init__(notes)
        self._escapes = escapes or {}
        self._identity: Any = None
        self._identities: set[int] = set()
        self._said: list[Said] = []
        self._places: list[_Place] = []
        self._meta: dict[str, Any] = {}

    def add(self, fields: Fields) -> Iterator[Record | Problem]:
        identity = fields.values.get(fields.roles.get("id", ""))
        is_same = identity in (None, "", self._identity)  # spreadsheets may have the id in the first row only
        if self._first is None or not is_same:
            yield from self.finish()
            self._first = fields.number
            self._said = []
            self._identity = identity
            self._note_identity(fields)
            self._places = []
            used = (fields.roles.get("speaker"), fields.roles["text"])
            self._meta = {key: value for key, value in fields.values.items() if key not in used}
        own = fields.roles.get("id")
        self._meta = {key: value for key, value in self._meta.items() if key == own or fields.values.get(key) == value}
        text = fields.values.get(fields.roles["text"])
        if not isinstance(text, str):
            self._fail(fields.number, f"the text is {describe_type(text)}, not a string; give each utterance its text")
        elif len(self._said) >= _MAX_UTTERANCES:
            self._fail(fields.number, f"the conversation has more than {_MAX_UTTERANCES:,} utterances; split it")
        elif text.strip():
            speaker = fields.values.get(fields.roles["speaker"]) if "speaker" in fields.roles else len(self._said)
            self._said.append(Said(speaker, self._unescape(text)))
            self._places.append(_find_place(fields.values))

    def _note_identity(self, fields: Fields) -> None:
        """Add a note to the report if the conversation that begins has the id of an earlier one."""
        key = hash(repr(self._identity))
        if key in self._identities:
            column = shorten(str(fields.roles.get("id")))
            self._notes.add(f"conversations whose rows are not consecutive were split: sort the rows by {column!r}")
        elif len(self._identities) < _MAX_IDENTITIES:
            self._identities.add(key)

    def _conversations(self, number: int) -> Iterable[Record]:
        meta = {key: self._unescape(value) for key, value in self._meta.items()}
        said = [self._said[position] for position in _sort(self._places)]
        if said != self._said:
            self._notes.add("rows put into the order of their turns")
        chat = join_said(said, self._notes)
        return [Record(number, chat.turns, chat.persona, meta or None, names=chat.names)]

    def _unescape(self, value: Any) -> Any:
        for mark, text in self._escapes.items() if isinstance(value, str) else ():
            value = value.replace(mark, text)
        return value


class _Place(NamedTuple):
    """The place of an utterance in its conversation, from the columns of its row; None for a missing value.

    Args:
        number: its number in the order of the conversation.
        own: its id.
        parent: the id of the utterance that it answers.
    """

    number: int | None
    own: Any
    parent: Any


@lru_cache(maxsize=256)
def _find_keys(names: tuple[str, ...]) -> tuple[str | None, ...]:
    """Return the keys of the number, the id and the parent of an utterance; None for a key that is missing.

    Args:
        names: the names of the columns.
    """
    plain = {re.sub(r"[\W\d_]+", "", name.lower()): name for name in names}
    known = (_ORDER_NAMES, _OWN_NAMES, _PARENT_NAMES)
    return tuple(next((plain[name] for name in wanted if name in plain), None) for wanted in known)


def _find_place(values: Mapping[str, Any]) -> _Place:
    number, own, parent = (None if key is None else values[key] for key in _find_keys(tuple(values)))
    if isinstance(number, str) and number.strip().isdecimal():
        number = int(number)
    own, parent = (value if isinstance(value, str | int) else None for value in (own, parent))
    return _Place(number if type(number) is int else None, own, parent)


def _sort(places: Sequence[_Place]) -> list[int]:
    """Return the positions of the utterances in the order of the conversation.

    If all utterances have different numbers, they are sorted by number. Otherwise their order is kept, unless an
    utterance precedes the one that it answers: then they are sorted by their depth in the tree of answers.
    """
    numbers = [place.number for place in places if place.number is not None]
    if len(numbers) == len(places) == len({*numbers}):
        return sorted(range(len(places)), key=numbers.__getitem__)
    positions = {place.own: position for position, place in enumerate(places) if place.own is not None}
    parents = [None if place.parent is None else positions.get(place.parent) for place in places]
    if all(parent is None or parent < position for position, parent in enumerate(parents)):
        return list(range(len(places)))
    depths: dict[int, int] = {}
    for position in range(len(places)):
        path: dict[int, None] = {}
        at: int | None = position
        while at is not None and at not in depths and at not in path:
            path[at] = None
            at = parents[at]
        depth = depths.get(at, 0) if at is not None else 0
        for each in reversed(path):
            depth += 1
            depths[each] = depth
    return sorted(range(len(places)), key=depths.__getitem__)
