"""Rows that are one utterance of a conversation each."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import Problem, Record, describe_type, shorten
from convmodel.data.shapes.base import Fields, RowGroup
from convmodel.data.shapes.speakers import Said, join_said

_MAX_UTTERANCES = 100_000
"""The limit of utterances of one conversation: more are hardly one, and must not fill the memory."""

_MAX_IDENTITIES = 1_000_000
"""The limit of conversations whose ids are kept, to tell those that go on after others."""


class UtteranceGroup(RowGroup):
    """The utterances of a conversation that is not yet complete.

    Args:
        notes: the remarks on this pass.
        escapes: texts by the marks that stand for them.
    """

    def __init__(self, notes: Notes, escapes: Mapping[str, str] | None = None) -> None:
        super().__init__(notes)
        self._escapes = escapes or {}
        self._identity: Any = None
        self._identities: set[int] = set()
        self._said: list[Said] = []
        self._meta: dict[str, Any] = {}

    def add(self, fields: Fields) -> Iterator[Record | Problem]:
        identity = fields.values.get(fields.roles.get("id", ""))
        if self._first is None or identity != self._identity:
            yield from self.finish()
            self._first = fields.number
            self._said = []
            self._identity = identity
            self._note_identity(fields)
            used = (fields.roles.get("speaker"), fields.roles["text"])
            self._meta = {key: value for key, value in fields.values.items() if key not in used}
        self._meta = {key: value for key, value in self._meta.items() if fields.values.get(key) == value}
        text = fields.values.get(fields.roles["text"])
        if not isinstance(text, str):
            self._fail(fields.number, f"the text is {describe_type(text)}, not a string; give each utterance its text")
        elif len(self._said) >= _MAX_UTTERANCES:
            self._fail(fields.number, f"the conversation has more than {_MAX_UTTERANCES:,} utterances; split it")
        elif text.strip():
            speaker = fields.values.get(fields.roles["speaker"]) if "speaker" in fields.roles else len(self._said)
            self._said.append(Said(speaker, self._unescape(text)))

    def _note_identity(self, fields: Fields) -> None:
        """Tell when a conversation begins that has the id of an earlier one."""
        key = hash(repr(self._identity))
        if key in self._identities:
            column = shorten(str(fields.roles.get("id")))
            self._notes.add(f"conversations that go on after others were torn apart: sort the rows by {column!r}")
        elif len(self._identities) < _MAX_IDENTITIES:
            self._identities.add(key)

    def _conversations(self, number: int) -> Iterable[Record]:
        meta = {key: self._unescape(value) for key, value in self._meta.items()}
        chat = join_said(self._said, self._notes)
        return [Record(number, chat.turns, chat.persona, meta or None)]

    def _unescape(self, value: Any) -> Any:
        for mark, text in self._escapes.items() if isinstance(value, str) else ():
            value = value.replace(mark, text)
        return value
