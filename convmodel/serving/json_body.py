"""Validation of the JSON bodies of requests, and encoding of the JSON bodies of responses."""

import json
import math
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.responses import Response

from convmodel.serving.errors import APIError

MAX_DEPTH = 32
"""Maximum number of levels of nested objects and lists in a request body."""

MAX_VALUES = 100_000
"""Maximum number of values in a request body, including nested values."""

MAX_NUMBER = sys.float_info.max
"""Maximum absolute value of a number; parsers that read numbers as doubles turn larger integers into infinity."""

TOO_LARGE = "a number is too large; all must be below 1.8e308"
TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"

_LINE_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})
"""Escapes for characters that JSON allows unescaped, but that many readers treat as line ends."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class _Fault(NamedTuple):
    """Placeholder, in a parsed body, for a value that is not allowed."""

    message: str


def check_body_type(headers: Headers) -> None:
    """Raise APIError 415 unless the headers declare the body as uncompressed JSON."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        message = f"the body is compressed (Content-Encoding: {encoding[:40]}); send it as it is, without this header"
        raise APIError(415, message, code="not_json", headers={"Accept-Encoding": "identity"})
    sent = headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "application/json":
        came = f"sent as {sent[:100]}" if sent else "sent without Content-Type"
        message = f"the body is {came}, not as JSON; send Content-Type: application/json"
        raise APIError(415, message, code="not_json")


def check_json(body: bytes) -> None:
    """Check a request body; it may be encoded as UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Raises:
        APIError: 400 for a body that is not JSON, is nested too deeply, or has too many values. Also for values that
            JSON, the database or other parsers cannot represent (NaN, infinity, huge numbers, lone surrogates, NUL
            characters), and for an object with the same name twice, which parsers read differently.
    """
    try:
        text = body.decode(json.detect_encoding(body))
        value = json.loads(text, parse_constant=_constant, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        remedy = "send it as UTF-8 (PowerShell: -ContentType 'application/json; charset=utf-8')"
        raise _invalid(f"the body is not UTF-8 (at byte {error.start + 1}); {remedy}") from None
    except RecursionError:
        raise _invalid(TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise _invalid(f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except ValueError:  # an integer with more digits than Python parses
        raise _invalid(TOO_LARGE) from None
    _check_values(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object from names and values; the value of a repeated name is a `_Fault`."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        fields |= {name: _Fault("the field is there twice; send it once") for name, n in counts.items() if n > 1}
    return fields


def _check_values(value: Any) -> None:
    """Raise APIError 400 for the first value with a fault, too many values or too many levels; not recursive."""
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
                next_level += item.values()
            elif isinstance(item, list):
                next_level += item
            if fault := _fault(item):
                path = _path(value, item)
                raise _invalid(f"{path}: {fault}" if path else fault, param=path)
        level = next_level
        depth += 1
        if depth > MAX_DEPTH:
            raise _invalid(TOO_DEEP)


def _fault(item: Any) -> str | None:
    """Return the message for a value that is not allowed, or None; nested values are not checked."""
    if isinstance(item, _Fault):
        return item.message
    if isinstance(item, int | float):
        return TOO_LARGE if abs(item) > MAX_NUMBER else None
    text = "".join(item) if isinstance(item, dict) else item if isinstance(item, str) else ""
    noun = "a name" if isinstance(item, dict) else "a text"
    if "\x00" in text:
        return f"{noun} holds a NUL character (U+0000); remove it"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"{noun} holds a lone surrogate (U+{ord(text[error.start]):04X}); remove or replace it"
    return None


def _path(value: Any, wanted: Any) -> str | None:
    """Return the path from a value to a nested value, such as `messages[0].content`; None if both are the same."""
    found: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    for steps, item in found:  # `found` grows in the loop
        if item is wanted:
            names = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps]
            return "".join(names).removeprefix(".") or None
        inner = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        found += [((*steps, step), part) for step, part in inner]
    return None


def _constant(name: str) -> _Fault:
    return _Fault(f"{name} is not a JSON number; leave it out, or give null")


def _invalid(message: str, param: str | None = None) -> APIError:
    return APIError(400, message, param=param, code="invalid_json")


def dump(value: Any) -> str:
    """Encode a value as one line of JSON. NaN and infinity become null, and lone surrogates become "?"."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    try:
        text = _ENCODER.encode(value)
    except ValueError:
        text = _ENCODER.encode(plain(value))
    return _without_surrogates(text.translate(_LINE_ENDS))


def json_response(value: Any, status: int = 200) -> Response:
    """Return a response with a value encoded by `dump` as its body."""
    return Response(dump(value), status, media_type="application/json")


def plain(value: Any) -> Any:
    """Convert a value to dicts, lists, strings and numbers, equal to the result of parsing `dump(value)`."""
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
