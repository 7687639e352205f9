"""`Shape`, the description of objects and rows that hold a conversation, and functions that build records from them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import CandidateExample, Problem, Record
from convmodel.data.json_text import parse_json
from convmodel.data.messages import ChatTurns, split_messages, split_persona
from convmodel.data.shapes.speakers import (
    count_tools,
    has_roles_as_keys,
    holds_utterances,
    join_said,
    read_utterances,
)
from convmodel.data.speaker_lines import read_transcript


class Fields(NamedTuple):
    """A JSON object or a row of a table, from which a record is built.

    Args:
        number: the number of its line or row.
        roles: the key of each role ("context", "response", "turns", ...), as the file writes it.
        values: the values by key. The keys that are used to build a record are removed; the rest becomes the meta.
        notes: the notes for the report of this pass.
        cells: whether a persona that is one text is divided into its lines: in text tables, and if the user names the
            columns.
    """

    number: int
    roles: Mapping[str, str]
    values: dict[str, Any]
    notes: Notes
    cells: bool = False

    def pop(self, role: str, default: Any = None) -> Any:
        """Remove and return the value of a role; return `default` if there is no such key."""
        key = self.roles.get(role)
        return default if key is None else self.values.pop(key, default)


class OpenConversation(ABC):
    """Base class of collectors, which build conversations from several lines or rows.

    Args:
        notes: the notes for the report of this pass.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._first: int | None = None
        """The number of the first line or row of the conversation; None before the first one."""
        self._problem: Problem | None = None

    def finish(self) -> Iterator[Record | Problem]:
        """Yield the collected conversations, or the first problem in them, and begin anew."""
        first = self._first
        problem = self._problem
        self._first = None
        self._problem = None
        if first is None:
            return
        try:
            yield from self._conversations(first) if problem is None else (problem,)
        except ValueError as error:
            yield Problem(first, str(error))

    @abstractmethod
    def _conversations(self, number: int) -> Iterable[Record]:
        """Return the collected conversations; raise ValueError if they are unusable.

        Args:
            number: the number of their first line or row.
        """

    def _fail(self, number: int, message: str) -> None:
        """Store a problem, which `finish` yields instead of the conversations; only the first one is kept."""
        self._problem = self._problem or Problem(number, message)


class RowGroup(OpenConversation):
    """Base class of collectors of rows."""

    @abstractmethod
    def add(self, fields: Fields) -> Iterator[Record | Problem]:
        """Add a row. If it begins a new conversation, first yield the collected ones."""


@dataclass(frozen=True)
class Shape:
    """Description of objects or rows that hold a conversation, by their keys.

    Args:
        name: the name in reports; "" for shapes that are not reported because their keys are the package's own.
        roles: the key of each required role, in lower case.
        optional: the keys of optional roles, by role.
        fits: a function from the values and the key of each role to whether the object has this shape; None if the keys
            suffice.
        build: a function from the fields to one or several records. It raises ValueError for an unusable object.
        group: a function from the notes to a new `RowGroup`, for a conversation that consists of several objects.
    """

    name: str
    roles: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)
    fits: Callable[[Mapping[str, Any], Mapping[str, str]], bool] | None = None
    build: Callable[[Fields], Record | Iterable[Record]] = field(default=lambda fields: build_record(fields))
    group: Callable[[Notes], RowGroup] | None = None

    def match(self, keys: Mapping[str, str]) -> dict[str, str] | None:
        """Return the file's key of each role, or None if one is missing.

        Args:
            keys: the keys of the file by their lower-case names.
        """
        if not all(name in keys for name in self.roles.values()):
            return None
        found = {role: name for role, name in {**self.optional, **self.roles}.items() if name in keys}
        return {role: keys[name] for role, name in found.items()}


def build_record(fields: Fields) -> Record:
    """Build a record from turns, from messages, or from a context and a response, with a persona and the meta.

    Raises:
        ValueError: when a message is invalid.
    """
    _decode_lists(fields)
    persona = fields.pop("persona")
    if persona is None:
        persona = []
    elif isinstance(persona, str) and fields.cells:
        persona = split_persona(persona)
    for name in ("system", "system_prompt"):
        if (system := _system_text(fields.pop(name))) and isinstance(persona, list):
            persona = [*persona, *split_persona(system)]
    context: Any = None
    response: Any = None
    chat: ChatTurns | None = None
    role = next((role for role in ("turns", "messages") if role in fields.roles), None)
    if role is not None:
        turns = context = fields.pop(role)
        if role == "messages" or isinstance(turns, dict) or _is_messages(turns):
            chat = read_turns(turns, fields.notes, named=True)
            turns = context = chat.turns
            # A persona of the wrong type is kept: the validation of the record reports it.
            persona = [*persona, *chat.persona] if isinstance(persona, list) else persona
    else:
        context, response, turns, persona = _pair(fields, persona)
    named = (None, None) if chat is None else (chat.speakers, chat.names)
    return _finish(fields, turns, persona, _selections(fields, context, response), *named)


def _decode_lists(fields: Fields) -> None:
    """Parse lists that are given as text, as in the cells of tables.

    The text is a JSON list or, for turns, lines that begin with the names of speakers.

    Raises:
        ValueError: when a text begins like a list, but is not JSON.
    """
    for role in ("turns", "messages", "history"):
        key = fields.roles.get(role, "")
        value = fields.values.get(key)
        if isinstance(value, str) and value.lstrip().startswith("["):
            fields.values[key] = parse_json(value, noun="list", wanted=f'write {role} as ["...", "..."]')
        elif isinstance(value, str) and role == "turns" and (said := read_transcript(value)):
            fields.values[key] = [{"speaker": speaker, "text": text} for speaker, text in said]


def _system_text(value: Any) -> str:
    """Return the text of a system message, which may consist of parts; "" for a value of any other type."""
    if isinstance(value, Mapping):
        value = value.get("parts")
    if isinstance(value, list):
        texts = [part.get("text") for part in value if isinstance(part, Mapping)]
        return "\n".join(text for text in texts if isinstance(text, str))
    return value if isinstance(value, str) else ""


def read_turns(value: Any, notes: Notes, *, named: bool = False) -> ChatTurns:
    """Return the turns of a list of messages, utterances or strings; messages of tools are counted in the notes.

    Raises:
        ValueError: when a message is invalid.
    """
    if isinstance(value, list) and value and all(isinstance(turn, str) for turn in value):
        return ChatTurns(value, [])
    if holds_utterances(value) or (isinstance(value, list) and value and all(map(has_roles_as_keys, value))):
        return join_said(read_utterances(value), notes)
    return count_tools(split_messages(value, named=named), notes)


def _pair(fields: Fields, persona: Any) -> tuple[Any, Any, list[Any], Any]:
    """Return the context, the response, the turns and the persona of an object with a context and a response."""
    context = fields.pop("context")
    response = fields.pop("response")
    extra = fields.pop("input")
    if isinstance(extra, str) and extra.strip() and isinstance(context, str):
        context = f"{context}\n{extra}"
    history = _history(fields)
    if history:
        context = [*history, *(context if isinstance(context, list) else [context])]
    if _is_messages(context) or _is_messages(response):
        # Both are lists of messages, or one is a string, which is the text of a single message.
        messages = [*_as_messages(context, "user"), *_as_messages(response, "assistant")]
        chat = read_turns(messages, fields.notes)
        persona = [*persona, *chat.persona] if isinstance(persona, list) else persona
        return chat.turns[:-1], chat.turns[-1] if chat.turns else "", chat.turns, persona
    context = context if isinstance(context, list) else [context]
    turns = [*context, response]
    # A null response is "", which is an error. None would mean that the last candidate is the response.
    return context, "" if response is None else response, turns, persona


def _history(fields: Fields) -> list[str]:
    """Return the turns of the history before the context, which is a list of strings or of pairs of strings.

    A history of any other type becomes part of the meta, and the result is empty.
    """
    value = fields.values.get(fields.roles.get("history", ""))
    if not isinstance(value, list):
        return []
    turns = [turn for item in value for turn in (item if isinstance(item, list) else [item])]
    if not all(isinstance(turn, str) for turn in turns):
        return []
    fields.pop("history")
    return turns


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _as_messages(value: Any, role: str) -> list[Any]:
    return value if isinstance(value, list) else [{"role": role, "content": value}]


def _selections(fields: Fields, context: Any, response: Any) -> Sequence[CandidateExample]:
    """Return the selection example of an object with distractors or candidates; an empty sequence without them."""
    if response is not None and "distractors" in fields.values:
        return [CandidateExample(fields.number, context, response, fields.values["distractors"], complete=False)]
    if context is not None and "candidates" in fields.values:
        return [CandidateExample(fields.number, context, response, fields.values["candidates"])]
    return ()


def _finish(
    fields: Fields,
    turns: Any,
    persona: Any,
    selections: Sequence[CandidateExample],
    speakers: list[str] | None,
    names: list[str] | None,
) -> Record:
    meta: Any = fields.values
    if speakers is None and not selections:
        speakers = _pop_speakers(meta, turns)
    is_whole = meta.keys() == {"meta"} and (meta["meta"] is None or isinstance(meta["meta"], dict))
    meta = meta["meta"] if is_whole else meta or None
    return Record(fields.number, turns, persona, meta, selections, speakers=speakers, names=names)


def _pop_speakers(values: dict[str, Any], turns: Any) -> list[str] | None:
    """Remove and return the names in `speakers`, or return None if they do not belong to the turns.

    They do if the turns are strings, there is one name for each, and at least two names differ.
    """
    names = values.get("speakers")
    if not isinstance(names, list) or not isinstance(turns, list) or len(names) != len(turns):
        return None
    if not all(isinstance(text, str) for text in [*names, *turns]) or len({*names}) < 2:
        return None
    return list(values.pop("speakers"))
