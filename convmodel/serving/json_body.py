"""Validation of JSON request bodies: encoding, syntax, size, depth and representable values."""

import json
import sys
from typing import Any

from convmodel.serving.errors import APIError

MAX_DEPTH = 32
"""Levels of nested objects and lists."""

MAX_VALUES = 100_000
"""Values in one body."""

MAX_NUMBER = sys.float_info.max
"""Larger integers become infinite in readers that parse numbers as doubles; fields check their own, smaller ranges."""

TOO_LARGE = "a number is too large; all must be below 1.8e308"
TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"


def check_json(body: bytes) -> None:
    """Raise APIError 400 for a body that is not JSON, is nested too deeply or has too many values.

    And for values that JSON, the database or other readers cannot represent: NaN, infinity, huge numbers, lone
    surrogates, NUL characters.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_reject_constant)
    except UnicodeDecodeError as error:
        raise _invalid(f"the body is not UTF-8 (at byte {error.start + 1})") from None
    except RecursionError:
        raise _invalid(TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise _invalid(f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except ValueError:  # an integer with more digits than Python parses
        raise _invalid(TOO_LARGE) from None
    _check_values(value)


def _check_values(value: Any) -> None:
    """Check all values level by level, without recursion."""
    level = [value]
    depth = 0
    count = 0
    while level:
        count += len(level)
        if count > MAX_VALUES:
            raise _invalid(f"the body holds more than {MAX_VALUES:,} values")
        next_level: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                _check_text("".join(item))
                next_level += item.values()
            elif isinstance(item, list):
                next_level += item
            elif isinstance(item, str):
                _check_text(item)
            elif isinstance(item, int | float) and abs(item) > MAX_NUMBER:
                raise _invalid(TOO_LARGE)
        level = next_level
        depth += 1
        if depth > MAX_DEPTH:
            raise _invalid(TOO_DEEP)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise _invalid("a text holds a NUL character (U+0000); remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _invalid(
            f"a text holds a lone surrogate (U+{ord(text[error.start]):04X}); remove or replace it"
        ) from None


def _reject_constant(name: str) -> Any:
    raise _invalid(f"{name} is not a JSON number; leave it out, or give null")


def _invalid(message: str) -> APIError:
    return APIError(400, message, code="invalid_json")
