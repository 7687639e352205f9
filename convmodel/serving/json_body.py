"""JSON bodies: validation of those of requests, and encoding of those of responses."""

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from convmodel.serving.errors import APIError

MAX_DEPTH = 32
"""Levels of nested objects and lists."""

MAX_VALUES = 100_000
"""Values in one body."""

MAX_NUMBER = sys.float_info.max
"""Larger integers become infinite in readers that parse numbers as doubles; fields check their own, smaller ranges."""

TOO_LARGE = "a number is too large; all must be below 1.8e308"
TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"

_LINE_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})
"""Escapes for characters that JSON allows unescaped, but that many readers treat as line ends."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


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


def dump(value: Any) -> str:
    """Return a value as JSON on one line. NaN and infinity become null, and lone surrogates become "?"."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    try:
        text = _ENCODER.encode(value)
    except ValueError:
        text = _ENCODER.encode(plain(value))
    return _without_surrogates(text.translate(_LINE_ENDS))


def json_response(value: Any, status: int = 200) -> Response:
    """Return a response whose body is written by `dump`."""
    return Response(dump(value), status, media_type="application/json")


def plain(value: Any) -> Any:
    """Return a value as the dicts, lists, texts and numbers that `dump` writes and a JSON parser reads back."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _without_surrogates(value)
    if isinstance(value, Mapping):
        return {_without_surrogates(str(name)): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
