"""Parsing and formatting of option values as users type them: `name=value`."""

import ast
import json
from collections.abc import Mapping
from typing import Any

_WORDS = {"true": True, "false": False, "none": None, "null": None}


def parse_setting(text: str) -> tuple[str, Any]:
    """Split `name=value` and parse the value; raise ValueError when there is no name or no `=`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise ValueError(f"{text!r} is not a setting; write name=value, such as temperature=0.7")
    return name.strip(), parse_value(value)


def parse_value(text: str) -> Any:
    """Parse a JSON value or a Python literal; any other text is returned as a string.

    true, false, none and null may have any case.

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
    """Return the options of a preset, empty for None; raise ValueError with the known names for an unknown one."""
    if name is not None and name not in presets:
        known = f"there are {', '.join(presets)}" if presets else "this model has none"
        raise ValueError(f"there is no preset {name!r}; {known}")
    return {} if name is None else presets[name]


def show_value(value: Any) -> str:
    """Format a value so that `parse_value` reads it back, if it is a JSON value."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)
