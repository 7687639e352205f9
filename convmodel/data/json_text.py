"""Decoding and encoding of JSON texts. NaN, infinity and repeated keys are refused, as they cannot be written back."""

import json
import math
from typing import Any, NoReturn

from convmodel.data.formats.base import shorten

_PYTHON = ("'", "None", "True", "False")
"""Beginnings of Python literals that are not JSON."""

MARK_FAULT = "byte order mark (U+FEFF) is inside, where files were joined; put a line end in its place"

_DUMPS = "write it with json.dumps"


class JsonContentError(ValueError):
    """A JSON text holds a value that is not allowed; the message gives the fault and a remedy."""


def refuse_constant(name: str) -> NoReturn:
    """Raise JsonContentError for NaN or an infinite number."""
    raise JsonContentError(f"{name} is a number that cannot be written as JSON; write null, or leave it out")


def parse_float(text: str) -> float:
    """Return the number that a text represents; raise JsonContentError if it is infinite."""
    value = float(text)
    if math.isinf(value):
        refuse_constant(shorten(text))
    return value


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict of the pairs of keys and values; raise JsonContentError if a key appears twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonContentError(f"the key {shorten(twice)!r} appears twice in one object; keep one of them")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=make_object, parse_constant=refuse_constant, parse_float=parse_float)
decode_json = _DECODER.decode
encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def describe_fault(fault: str, found: str, wanted: str, python: str = _DUMPS) -> str:
    """Return the error message for a text that is not JSON.

    Args:
        fault: a description of the fault.
        found: the text at the position of the fault.
        wanted: the remedy.
        python: the remedy if `found` is a Python literal.
    """
    remedy = f"this looks like Python (single quotes, None): {python}" if found.startswith(_PYTHON) else wanted
    return f"not JSON: {fault}; {remedy}"


def parse_json(text: str, *, noun: str, wanted: str, python: str = _DUMPS) -> Any:
    """Return the JSON value of a line.

    Args:
        text: the line.
        noun: the name of the items of the file in error messages.
        wanted: the remedy for a line that is not JSON: "write a list of turns".
        python: the remedy for a line that is a Python literal.

    Raises:
        ValueError: when the line is not JSON, or holds NaN, infinity or a key twice; the message gives the reason and a
            remedy.
    """
    try:
        return decode_json(text)
    except JsonContentError:
        raise
    except json.JSONDecodeError as error:
        position = f"found {shorten(text[error.pos :], 20)!r}" if error.pos < len(text) else "at the end of the line"
        if text.strip() in ("[", "{"):
            wanted = f"the JSON goes over several lines: write one {noun} a line"
        fault = f"{error.msg.lower()} at column {error.pos + 1}, {position}"
        raise ValueError(describe_fault(fault, text[error.pos :], wanted, python)) from None
    except RecursionError:
        raise ValueError(f"the JSON is nested too deeply; {wanted}") from None
    except ValueError:
        raise ValueError("a number has more than 4,300 digits; write it as a string, or leave it out") from None
