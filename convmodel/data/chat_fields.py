"""Tolerant parsing of the fields of chat exports: times, names, texts and objects, of any type."""

import datetime
import math
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, NoReturn

from convmodel.data.data_file import Head
from convmodel.data.formats.base import describe_type, shorten
from convmodel.data.formats.json import find_depth
from convmodel.data.people import is_same_person

_MILLISECONDS = 1e11
"""Numbers of this size or more are taken for milliseconds: as seconds they would lie after the year 5138."""

UNKNOWN = "unknown"
"""The name of a sender for whom the export has no name."""


def parse_time(value: Any) -> float | None:
    """Return a time in seconds since 1970; None if it cannot be read.

    Args:
        value: seconds or milliseconds since 1970 as a number or in a string, or an ISO date and time. A date and time
            with a zone is converted to UTC.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return _parse_date(str(value))
    if not math.isfinite(seconds):
        return None
    while abs(seconds) >= _MILLISECONDS:
        seconds /= 1000
    return seconds


def read_time(*values: Any) -> float | None:
    """Return the time of the first readable value in seconds since 1970; None if all values are missing.

    Args:
        values: the values; see `parse_time`. None and "" are missing.

    Raises:
        ValueError: when there are values, but none can be read; the message shows the first one.
    """
    given = [value for value in values if value is not None and value != ""]
    time = next((time for time in map(parse_time, given) if time is not None), None)
    if given and time is None:
        refuse_time(given[0])
    return time


def refuse_time(value: Any) -> NoReturn:
    """Raise ValueError for a time that cannot be read."""
    shown = repr(shorten(value)) if isinstance(value, str) else f"({describe_type(value)})"
    raise ValueError(f"the time {shown} cannot be read; correct it, or remove the message")


def _parse_date(text: str) -> float | None:
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    try:
        return (
            (moment if moment.tzinfo is None else moment.astimezone(datetime.UTC))
            .replace(tzinfo=datetime.UTC)
            .timestamp()
        )
    except OverflowError:
        return None


def parse_form(text: str, *forms: str) -> float | None:
    """Return a time in seconds since 1970; None if it matches no format.

    Args:
        text: the time.
        forms: formats of `datetime.strptime`, tried in order.
    """
    for form in forms:
        try:
            return datetime.datetime.strptime(" ".join(text.split()), form).replace(tzinfo=datetime.UTC).timestamp()
        except ValueError:
            continue
    return None


def choose_name(names: Iterable[Any], me: str | None) -> str:
    """Return the name of a person who has several: the one that the user gave, or else the first.

    Args:
        names: the names, in order of preference. Values that are not strings, or empty, are ignored.
        me: the name that the user gave.
    """
    found = [name for name in map(read_name, names) if name]
    return next((name for name in found if is_same_person(name, me)), found[0] if found else UNKNOWN)


def read_name(value: Any) -> str:
    """Return a name on one line; "" for a value that is not a text."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text.encode("utf-8", "replace").decode()


def read_text(value: Any) -> str:
    """Return a text given as a string, or as a list of strings and objects with a `text`; "" for anything else."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    return "".join(part if isinstance(part, str) else read_text(read_object(part).get("text")) for part in value)


def read_object(value: Any) -> Mapping[str, Any]:
    """Return a value if it is an object, and an empty object otherwise."""
    return value if isinstance(value, Mapping) else {}


def first_object(value: Any) -> Mapping[str, Any]:
    """Return the first object of a list, or the object itself; an empty object if there is none."""
    if isinstance(value, list):
        return next((each for each in value if isinstance(each, Mapping)), {})
    return read_object(value)


def is_companion(head: Head, keys: Mapping[str, str | None]) -> bool:
    """Return whether a file comes with an export, but holds no messages.

    Args:
        head: the beginning of the file.
        keys: by the name of each such file, a key that its objects have. With "" any object fits. With None any object
            fits that is not a conversation, because other files may have the same name. Empty files (`[]`) fit too.
    """
    name = PurePath(head.file.name).name
    if name not in keys or not isinstance(head.value, dict | list):
        return False
    key = keys[name]
    if key is None:
        return find_depth(head.value, head.options) is None
    return not head.value or not key or key in first_object(head.value)
