"""A body's bytes in, nothing out, or why it is no JSON that can be worked with."""

import json
import sys
from typing import Any

from convmodel.serving.errors import APIError

MOST_DEEP = 32
"""Objects and lists within one another."""

MOST_VALUES = 100_000
"""Values in one body."""

MOST_NUMBER = sys.float_info.max
"""Further numbers are infinite to many who read them; what has less room than this says so itself."""


def check_json(body: bytes) -> None:
    """Checks what a client sent.

    Raises:
        Refusal: 400 for what is no JSON, is too deep or has too many values, and for what no number or text of ours
            can be: NaN, infinity, huge numbers, lone surrogates, NUL characters.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise _refusal(f"the body is not UTF-8 (at byte {error.start + 1})") from None
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise _refusal(f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except ValueError:  # more digits than Python reads
        raise _too_large() from None
    _check(value)


def _check(value: Any) -> None:
    """Looks at every value, level by level."""
    level, deep, seen = [value], 0, 0
    while level:
        seen += len(level)
        if seen > MOST_VALUES:
            raise _refusal(f"the body holds more than {MOST_VALUES:,} values")
        deeper: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                _check_text("".join(each))
                deeper += each.values()
            elif isinstance(each, list):
                deeper += each
            elif isinstance(each, str):
                _check_text(each)
            elif isinstance(each, int | float) and abs(each) > MOST_NUMBER:
                raise _too_large()
        level, deep = deeper, deep + 1
        if deep > MOST_DEEP:
            raise _too_deep()


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise _refusal("a text holds a NUL character (U+0000); remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _refusal(
            f"a text holds a lone surrogate (U+{ord(text[error.start]):04X}); remove or replace it"
        ) from None


def _no_number(name: str) -> Any:
    raise _refusal(f"{name} is no number of JSON; leave it out, or give null")


def _too_large() -> APIError:
    return _refusal("a number is too large; all must be below 1.8e308")


def _too_deep() -> APIError:
    return _refusal(f"the body is nested deeper than {MOST_DEEP} levels")


def _refusal(message: str) -> APIError:
    return APIError(400, message, code="invalid_json")
