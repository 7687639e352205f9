"""One line of JSON in, its value out, and back; shared by the JSON Lines of conversations and of documents."""

import json
from typing import Any

from convmodel.formats.base import shorten

decode = json.JSONDecoder().decode
encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

_PYTHON = ("'", "None", "True", "False")


def parse(text: str, *, noun: str, wanted: str, python: str = "write it with json.dumps") -> Any:
    """The value that a line holds.

    Args:
        text: the line.
        noun: what is written one a line.
        wanted: the cure: "write a list of turns".
        python: the cure where the line is none of JSON but of Python.

    Raises:
        ValueError: when it is no JSON; the text says why and what to do.
    """
    try:
        return decode(text)
    except json.JSONDecodeError as error:
        found = f"found {shorten(text[error.pos :], 20)!r}" if error.pos < len(text) else "at the end of the line"
        what = f"not JSON: {error.msg.lower()} at column {error.pos + 1}, {found}"
        if text.strip() in ("[", "{"):
            raise ValueError(f"{what}; the JSON goes over several lines: write one {noun} a line") from None
        if text.startswith(_PYTHON, error.pos):
            raise ValueError(f"{what}; this looks like Python (single quotes, None): {python}") from None
        raise ValueError(f"{what}; {wanted}") from None
    except RecursionError:
        raise ValueError(f"the JSON is nested too deeply; {wanted}") from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise ValueError(f"not readable as JSON ({error}); {wanted}") from None
