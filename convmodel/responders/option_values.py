"""`name=value` as a person types it in, a decoding option and its value out."""

import ast
import json
from collections.abc import Mapping
from typing import Any

_WORDS = {"true": True, "false": False, "none": None, "null": None}


def parse_setting(text: str) -> tuple[str, Any]:
    """Splits `name=value`; for the value see `parse_value`.

    Raises:
        ValueError: when there is no name or no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise ValueError(f"{text!r} is no setting; write name=value, such as temperature=0.7")
    return name.strip(), parse_value(value)


def parse_value(text: str) -> Any:
    """The value that a text stands for.

    JSON is read as JSON, Python's numbers, strings and lists as Python; true, false, none and null may be written in
    capitals too. Everything else is a text and stands for itself.

    Example:
        >>> [parse_value(text) for text in ("0.7", "True", "[1, 2]", "['a']", "hello")]
        [0.7, True, [1, 2], ['a'], 'hello']
    """
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if value is None or isinstance(value, bool | int | float | str | list | dict):
            return value
    return text


def preset_options(presets: Mapping[str, Mapping[str, Any]], name: str | None) -> Mapping[str, Any]:
    """The options of a preset; none where there is no name.

    Args:
        presets: of a Responder.

    Raises:
        ValueError: when there is no such preset; names those there are.
    """
    if name is not None and name not in presets:
        known = f"there are {', '.join(presets)}" if presets else "this model has none"
        raise ValueError(f"there is no preset {name!r}; {known}")
    return {} if name is None else presets[name]


def show_value(value: Any) -> str:
    """A value as `parse_value` reads it again, where it can."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)
