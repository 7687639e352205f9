"""The known shapes in the order in which they are tried, and the shape of an object or a row.

A new shape is one `Shape` in the list, or a module of this package with its `build` function and an entry here.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from convmodel.data.formats.base import quote_names, shorten
from convmodel.data.options import ReadOptions, name_option
from convmodel.data.shapes.base import Shape
from convmodel.data.shapes.dialogs import DIALOGS, INTENT
from convmodel.data.shapes.personality import PERSONALITY, PERSONALITY_ROW
from convmodel.data.shapes.preference import PREFERENCE, build_labelled
from convmodel.data.shapes.speakers import has_roles_as_keys, names_speaker
from convmodel.data.shapes.trees import FLAT, ROOT, TREE
from convmodel.data.shapes.utterances import UtteranceGroup

_PERSONA = {"persona": "persona"}
_SYSTEM = {"persona": "persona", "system": "system", "system_prompt": "system_prompt"}
_PAIR = {**_SYSTEM, "history": "history"}


def _has_list(values: Mapping[str, Any], roles: Mapping[str, str]) -> bool:
    return isinstance(values.get(roles["messages"]), list)


SHAPES: tuple[Shape, ...] = (
    Shape("", {"turns": "turns"}, _PERSONA),
    PREFERENCE,
    Shape("", {"messages": "messages"}, _SYSTEM),
    Shape("", {"messages": "conversations"}, _SYSTEM),
    Shape("", {"messages": "contents"}, {**_SYSTEM, "system": "systeminstruction"}, _has_list),
    Shape(
        "instruction, context and response",
        {"context": "instruction", "response": "response", "input": "context"},
        _PAIR,
    ),
    Shape("", {"context": "context", "response": "response"}, {**_PERSONA, "history": "history"}),
    Shape("prompt and completion", {"context": "prompt", "response": "completion"}, _PAIR, None, build_labelled),
    Shape("prompt and response", {"context": "prompt", "response": "response"}, _PAIR),
    Shape("instruction and output", {"context": "instruction", "response": "output"}, {**_PAIR, "input": "input"}),
    Shape("instruction and response", {"context": "instruction", "response": "response"}, {**_PAIR, "input": "input"}),
    Shape("question and answer", {"context": "question", "response": "answer"}, _PAIR),
    Shape("question and response", {"context": "question", "response": "response"}, _PAIR),
    Shape("query and response", {"context": "query", "response": "response"}, _PAIR),
    Shape("input and output", {"context": "input", "response": "output"}, _PAIR),
    Shape("user and assistant", {"context": "user", "response": "assistant"}, _PAIR),
    Shape("history and response", {"context": "history", "response": "response"}, _SYSTEM),
    PERSONALITY,
    PERSONALITY_ROW,
    *DIALOGS,
    INTENT,
    TREE,
    ROOT,
)
"""The shapes of objects that hold one conversation each, the most specific first."""

_ID_NAMES = (
    *("conversationid", "convid", "dialogueid", "dialogid", "chatid", "threadid", "sessionid", "episodeid", "callid"),
    *("conversationno", "dialogueno", "dialogno", "convno", "conversationidx", "dialogueidx", "dialogidx", "ticketid"),
    *("transcriptid", "conversationuuid", "conversationnumber", "dialoguenumber", "interactionid"),
)
_VAGUE_ID_NAMES = ("conversation", "dialogue", "dialog", "conv", "session", "thread", "episode", "chat")
"""Names of columns that identify a conversation only beside a column of speakers."""

_SPEAKER_NAMES = (
    *("speaker", "speakerid", "speakeridx", "speakername", "speakerrole", "sender", "senderid", "author", "authorid"),
    *("authorrole", "role", "from", "user", "userid", "name", "username", "character", "participant", "agent"),
)
_TEXT_NAMES = ("text", "utterance", "message", "content", "body", "transcript", "sentence", "line", "messagetext")
"""Names of columns in data with one utterance a row, in lower case, with letters and digits only."""

_EMPATHETIC = {"conv_id", "utterance_idx", "speaker_idx"}


def list_names(names: Iterable[str]) -> dict[str, str]:
    """Return the names of keys or columns by their normalised form: in lower case, without white space at the ends.

    Raises:
        ValueError: when two names have the same normalised form; the message names both.
    """
    found: dict[str, str] = {}
    for name in names:
        key = name.strip().lower()
        if key in found:
            raise ValueError(f"two columns have one name, {quote_names([found[key], name])}; rename one of them")
        found[key] = name
    return found


def match_shapes(names: Iterable[str], options: ReadOptions) -> list[tuple[Shape, dict[str, str]]]:
    """Return the shapes whose required names an object or a row has, each with the actual key of each role.

    Args:
        names: the names of its keys or columns.
        options: the options of the reader; its `columns`, if given, are used instead of the known names.

    Raises:
        ValueError: when `columns` names a column that does not exist.
    """
    keys: dict[str, str] = {}
    for name in names:
        keys.setdefault(name.strip().lower(), name)
    if options.roles:
        given = _given_roles(keys, options.roles)
        return [(UTTERANCE if {"id", "text"} <= given.keys() else _GIVEN, given)]
    found = [(shape, shape.match(keys)) for shape in SHAPES]
    matches = [(shape, roles) for shape, roles in found if roles is not None]
    return [*matches, *_match_rows(keys)]


def _given_roles(keys: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    roles: dict[str, str] = {}
    for role, name in given.items():
        if name.strip().lower() not in keys:
            there = quote_names(keys.values())
            raise ValueError(
                f"{name_option('columns')} names {shorten(name)!r}, which does not exist; there are {there}"
            )
        roles[role] = keys[name.strip().lower()]
    needed = ({"turns"}, {"messages"}, {"context", "response"}, {"id", "text"})
    if not any(names <= roles.keys() for names in needed):
        missing = "turns, messages, context and response, or id and text"
        raise ValueError(f"{name_option('columns')} names too few columns; name {missing}")
    return roles


def _match_rows(keys: Mapping[str, str]) -> list[tuple[Shape, dict[str, str]]]:
    """Return the shape of rows that hold one message or one utterance each; an empty list if the names do not fit."""
    flat = FLAT.match(keys)
    if flat is not None:
        return [(FLAT, flat)]
    plain = {_plain(name): key for name, key in keys.items()}
    parts = {"id": _ID_NAMES, "speaker": _SPEAKER_NAMES, "text": _TEXT_NAMES}
    found = {role: next((plain[name] for name in names if name in plain), None) for role, names in parts.items()}
    roles = {role: key for role, key in found.items() if key is not None}
    vague = next((plain[name] for name in _VAGUE_ID_NAMES if name in plain), None)
    if "id" not in roles and "speaker" in roles and vague is not None:
        roles["id"] = vague
    # Rows without an id are one conversation, but only without further columns, any of which might be an id.
    if "text" not in roles or ("id" not in roles and (len(keys) > 2 or not plain.keys() & {"speaker", "speakerid"})):
        return []
    return [(EMPATHETIC if keys.keys() >= _EMPATHETIC else UTTERANCE, roles)]


def _plain(name: str) -> str:
    """Return a name in lower case, with letters and digits only."""
    return re.sub(r"[\W_]+", "", name.lower())


_GIVEN = Shape("", {})
UTTERANCE = Shape("one utterance a row", {}, group=UtteranceGroup)
EMPATHETIC = Shape("EmpatheticDialogues", {}, group=partial(UtteranceGroup, escapes={"_comma_": ","}))


def find_shape(
    value: Mapping[str, Any], matches: list[tuple[Shape, dict[str, str]]]
) -> tuple[Shape, dict[str, str]] | None:
    """Return the first match whose shape also fits the values; None if there is none."""
    return next((match for match in matches if match[0].fits is None or match[0].fits(value, match[1])), None)


def fits_shape(value: Any, options: ReadOptions) -> bool:
    """Return whether a JSON value is a conversation: turns, messages, or an object of a known shape."""
    if isinstance(value, list):
        return bool(value) and not options.roles and (isinstance(value[0], str) or is_message(value[0]))
    if not isinstance(value, dict):
        return False
    try:
        found = find_shape(value, match_shapes(value, options))
    except ValueError:
        return False
    return found is not None and not _holds_several(value.get(found[1].get("messages", "")), options)


def _holds_several(value: Any, options: ReadOptions) -> bool:
    """Return whether a list under the key of the messages holds whole conversations instead."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, list) or (isinstance(first, dict) and not is_message(first) and fits_shape(first, options))


def is_message(value: Any) -> bool:
    """Return whether a value is a chat message, or an utterance with a speaker but without an id of a conversation."""
    if not isinstance(value, dict):
        return False
    if any(isinstance(value.get(role), str) and text in value for role, text in _MESSAGE_KEYS):
        return True
    if len(value) == 1 and has_roles_as_keys(value):
        return True
    return names_speaker(value) and {_plain(name) for name in value}.isdisjoint((*_ID_NAMES, *_VAGUE_ID_NAMES))


_MESSAGE_KEYS = (("role", "content"), ("role", "parts"), ("from", "value"))
