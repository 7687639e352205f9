"""Lines as Python prints a dict, `{'body': '...', 'meta': 'Cats'}`, one a line; read as literals, never executed."""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from convmodel.document.formats.record import DocumentRecord, record_of
from convmodel.formats.base import FileFormat, Line, Problem
from convmodel.formats.one_a_line import one_a_line

MOST_OUTSIDE = 2**16
"""Characters of a line outside of its strings: each of these may cost hundreds of bytes while it is read."""

_BEGIN = re.compile(r"\s*\{\s*[bBrRuU]?'")
# What is never closed goes on to the end, so that no quote is looked at twice.
_STRING = re.compile(r"""'(?:[^'\\]++|\\(?:.|\Z))*+(?:'|\Z)|"(?:[^"\\]++|\\(?:.|\Z))*+(?:"|\Z)""", re.DOTALL)
_WANTED = "write {'body': '...', 'meta': '...'}, or JSON"


def sniff_python(first_lines: Sequence[str]) -> bool:
    """At least half of the lines begin as a dict does whose first key stands in single quotes."""
    return 2 * sum(_BEGIN.match(line) is not None for line in first_lines) >= len(first_lines)


def read_python(lines: Iterator[Line]) -> Iterator[DocumentRecord | Problem]:
    """One record or problem a line; blank lines are ignored."""
    return one_a_line(lines, _python_record)


def _python_record(number: int, text: str) -> DocumentRecord:
    return record_of(number, _literal(text))


def _literal(text: str) -> Any:
    """The value of a line.

    Raises:
        ValueError: when it is no literal, or would take too much to read.
    """
    outside = sum(map(len, _STRING.split(text)))
    if outside > MOST_OUTSIDE:
        raise ValueError(f"{outside:,} characters stand outside of strings, {MOST_OUTSIDE:,} are allowed; {_WANTED}")
    try:
        with warnings.catch_warnings():  # a backslash that escapes nothing stays one
            warnings.simplefilter("ignore")
            return ast.literal_eval(text.strip())
    except SyntaxError as error:
        where = f" at column {error.offset}" if error.offset else ""
        raise ValueError(f"not a Python literal: {_said(error.msg)}{where}; {_WANTED}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"not a Python literal: nested too deeply; {_WANTED}") from None
    except (ValueError, TypeError) as error:  # a name or a call; a key that cannot be one
        raise ValueError(f"not a Python literal: {_said(str(error))}; {_WANTED}") from None


def _said(message: str) -> str:
    """What Python says, in one line and without the places of things in memory."""
    return re.sub(r" on line \d+|: <.*|; .*", "", message.partition("\n")[0].partition(" (")[0])


PYTHON = FileFormat(
    name="python", human_name="Python lines", unit="line", suffixes=(), sniff=sniff_python, read=read_python
)
