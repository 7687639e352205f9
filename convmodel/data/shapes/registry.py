"""The known shapes in the order in which they are tried, and the shape of an object or a row.

A new shape is one `Shape` in the list, or a module of this package with its `build` function and an entry here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from convmodel.data.formats.base import quote_names, shorten
from convmodel.data.options import ReadOptions, name_option
from convmodel.data.shapes.base import Shape

_PERSONA = {"persona": "persona"}
_SYSTEM = {"persona": "persona", "system": "system"}

SHAPES: tuple[Shape, ...] = (
    Shape("", {"turns": "turns"}, _PERSONA),
    Shape("", {"messages": "messages"}, _SYSTEM),
    Shape("", {"messages": "conversations"}, _SYSTEM),
    Shape(
        "instruction, context and response",
        {"context": "instruction", "response": "response", "input": "context"},
        _SYSTEM,
    ),
    Shape("", {"context": "context", "response": "response"}, _PERSONA),
    Shape("prompt and completion", {"context": "prompt", "response": "completion"}, _SYSTEM),
    Shape("prompt and response", {"context": "prompt", "response": "response"}, _SYSTEM),
    Shape(
        "instruction and output",
        {"context": "instruction", "response": "output"},
        {**_SYSTEM, "input": "input"},
    ),
    Shape(
        "instruction and response", {"context": "instruction", "response": "response"}, {**_SYSTEM, "input": "input"}
    ),
    Shape("question and answer", {"context": "question", "response": "answer"}, _SYSTEM),
    Shape("query and response", {"context": "query", "response": "response"}, _SYSTEM),
    Shape("input and output", {"context": "input", "response": "output"}, _SYSTEM),
    Shape("user and assistant", {"context": "user", "response": "assistant"}, _SYSTEM),
)
"""The shapes of one conversation an object, the most specific first."""

ID_NAMES = ("conversation_id", "conv_id", "dialogue_id", "dialog_id", "chat_id", "thread_id", "session_id")
SPEAKER_NAMES = ("speaker", "speaker_id", "speaker_idx", "sender", "author", "role", "from", "user", "name")
TEXT_NAMES = ("text", "utterance", "message", "content", "body")
"""Names of columns in data with one utterance a row, in lower case."""


def list_names(names: Iterable[str]) -> dict[str, str]:
    """Return the names of keys or columns by their lower-case names without white space at their ends.

    Raises:
        ValueError: when two are equal; the message names both.
    """
    found: dict[str, str] = {}
    for name in names:
        key = name.strip().lower()
        if key in found:
            raise ValueError(f"two columns have one name, {quote_names([found[key], name])}; rename one of them")
        found[key] = name
    return found


def match_shapes(names: Iterable[str], options: ReadOptions) -> list[tuple[Shape, dict[str, str]]]:
    """Return the shapes that an object or a row may have by its names, each with the key of each role.

    Args:
        names: the names of its keys or columns.
        options: the options of the reader; `columns` takes the place of the known names.

    Raises:
        ValueError: when `columns` names a column that does not exist.
    """
    keys: dict[str, str] = {}
    for name in names:
        keys.setdefault(name.strip().lower(), name)
    if options.roles:
        return [(Shape("", {}), _given_roles(keys, options.roles))]
    found = [(shape, shape.match(keys)) for shape in SHAPES]
    matches = [(shape, roles) for shape, roles in found if roles is not None]
    return matches or _match_utterances(keys)


def is_utterance(roles: Mapping[str, str]) -> bool:
    """Return whether an object with these roles is one utterance of a conversation."""
    return "id" in roles and "text" in roles


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


def _match_utterances(keys: Mapping[str, str]) -> list[tuple[Shape, dict[str, str]]]:
    parts = {"id": ID_NAMES, "speaker": SPEAKER_NAMES, "text": TEXT_NAMES}
    found = {role: next((keys[name] for name in names if name in keys), None) for role, names in parts.items()}
    roles = {role: key for role, key in found.items() if key is not None}
    return [(UTTERANCE, roles)] if is_utterance(roles) else []


UTTERANCE = Shape("one utterance a row", {})


def find_shape(
    value: Mapping[str, Any], matches: list[tuple[Shape, dict[str, str]]]
) -> tuple[Shape, dict[str, str]] | None:
    """Return the first of the shapes that also fits the values."""
    return next((match for match in matches if match[0].fits is None or match[0].fits(value)), None)


def fits_shape(value: Any, options: ReadOptions) -> bool:
    """Return whether a JSON value is a conversation: turns, messages, or an object of a known shape."""
    if isinstance(value, list):
        return bool(value) and (isinstance(value[0], str) or is_message(value[0]))
    if not isinstance(value, dict):
        return False
    try:
        return find_shape(value, match_shapes(value, options)) is not None
    except ValueError:
        return False


def is_message(value: Any) -> bool:
    """Return whether a value is a chat message."""
    return isinstance(value, dict) and any(
        isinstance(value.get(role), str) and text in value for role, text in (("role", "content"), ("from", "value"))
    )
