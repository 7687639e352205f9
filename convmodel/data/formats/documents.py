"""What the document formats share: an object's keys in, a record of its document out."""

import ast
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from convmodel.data.formats.base import FileFormat, Line, Problem, describe_type, quote_names
from convmodel.data.formats.hub import HubAddress, HubFormat
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.lines import encode, one_a_line, parse

BODY_KEYS = ("body", "text", "content")
"""Where a body is looked for; the first that is there counts."""

WANTED = 'write {"body": "...", "meta": "..."}'


class DocumentRecord(NamedTuple):
    """What a format found, not yet checked: whoever builds the Document checks it.

    Args:
        line: where it begins, counted from 1.
        body: its text, if the file is right.
        meta: what is known of it, if the file is right.
        unused: keys that are neither.
        file: where the line is, if the source is a folder.
    """

    line: int
    body: Any
    meta: Any = None
    unused: Sequence[str] = ()
    file: str | None = None


def record_of(line: int, value: Any) -> DocumentRecord:
    """The document of an object `{"body": ..., "meta": ...}`.

    Raises:
        ValueError: when it is no object, or there is no body in it.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"the line is {describe_type(value)}; {WANTED}")
    key = next((key for key in BODY_KEYS if key in value), None)
    if key is None:
        raise ValueError(f"the object has no body (its keys: {quote_names(map(str, value))}); {WANTED}")
    unused = [str(name) for name in value if name not in (key, "meta")]
    return DocumentRecord(line, value[key], value.get("meta"), unused)


def sniff_jsonl(first_lines: Sequence[str]) -> bool:
    """The first line, or at least half of the lines, begin as an object does."""
    begins = [line.lstrip().startswith("{") for line in first_lines]
    return begins[0] or 2 * sum(begins) >= len(begins)


def read_jsonl(lines: Iterator[Line]) -> Iterator[DocumentRecord | Problem]:
    """One record or problem a line; blank lines are ignored."""
    return one_a_line(lines, _jsonl_record)


def dump(body: str, meta: Any) -> str:
    """One document as one line, without its end."""
    return encode({"body": body} if meta is None else {"body": body, "meta": meta})


def _jsonl_record(number: int, text: str) -> DocumentRecord:
    cure = "read it with format='python', or write it with json.dumps"
    return record_of(number, parse(text, noun="document", wanted=WANTED, python=cure))


JSONL = FileFormat(
    name="jsonl",
    human_name="JSON Lines",
    unit="line",
    suffixes=(".jsonl", ".ndjson", ".json", ".documents"),
    sniff=sniff_jsonl,
    read=read_jsonl,
)


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


def _hub_record(number: int, row: Mapping[str, Any], address: HubAddress) -> DocumentRecord:
    return DocumentRecord(number, row[str(address.column)], meta_of(row, address))


def meta_of(row: Mapping[str, Any], address: HubAddress) -> Any:
    """One column of metadata is the meta, several are its fields."""
    names = address.meta_columns
    return {name: row[name] for name in names} if len(names) > 1 else row[names[0]] if names else None


HUB = HubFormat(
    name="hub",
    human_name="Hub data set",
    unit="row",
    example="hub://org/name?column=text&split=train",
    options=("column", "meta", "split", "config", "revision"),
    record=_hub_record,
)


MOST_CHARACTERS = 16 * 2**20
"""Of a document: what goes on for longer was hardly meant to be one, and must not fill the memory."""


def read_separated(lines: Iterator[Line]) -> Iterator[DocumentRecord | Problem]:
    """One record or problem for each run of lines that are not blank."""
    return _read(lines, ends=lambda line: not line.text.strip() and line.problem is None)


def read_whole(lines: Iterator[Line]) -> Iterator[DocumentRecord | Problem]:
    """One record or problem for all lines; none when they are all blank."""
    return _read(lines, ends=lambda line: False)


def _read(lines: Iterator[Line], *, ends: Callable[[Line], bool]) -> Iterator[DocumentRecord | Problem]:
    """One record or problem for each run of lines that `ends` does not break, blank lines at its two ends left out."""
    document = _Growing()
    for line in lines:
        if ends(line):
            yield from document.made()
            document = _Growing()
        else:
            document.take(line)
    yield from document.made()


class _Growing:
    """A document as its lines come."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._first = self._characters = 0
        self._problem: Problem | None = None

    def take(self, line: Line) -> None:
        if not self._lines and not line.text.strip() and line.problem is None:
            return  # blank lines before it
        self._first = self._first or line.number
        self._characters += len(line.text) + 1
        if line.problem is not None:
            self._problem = self._problem or Problem(line.number, line.problem)
        elif self._characters > MOST_CHARACTERS and self._problem is None:
            told = f"the document is longer than {MOST_CHARACTERS:,} characters; split it"
            self._problem = Problem(self._first, told)
        if self._problem is None:
            self._lines.append(line.text)
        else:
            self._lines.clear()

    def made(self) -> Iterator[DocumentRecord | Problem]:
        if self._problem is not None:
            yield self._problem
        elif self._lines:
            while not self._lines[-1].strip():
                self._lines.pop()
            yield DocumentRecord(self._first, "\n".join(self._lines))


def _never(first_lines: Sequence[str]) -> bool:
    """Every file could be plain text: what is, its name or the user must say."""
    return False


TEXT = FileFormat(
    name="text", human_name="plain text", unit="document", suffixes=(".txt",), sniff=_never, read=read_separated
)
FILE = FileFormat(
    name="file", human_name="one document a file", unit="document", suffixes=(), sniff=_never, read=read_whole
)


__all__ = ["DOCUMENTS", "FILE_FORMATS", "DocumentFormats", "DocumentRecord"]

FILE_FORMATS: dict[str, FileFormat[DocumentRecord]] = {each.name: each for each in (PYTHON, JSONL, TEXT, FILE)}
"""In the order in which they are asked whether a file is theirs: the most particular first."""


class DocumentFormats(FormatRegistry[DocumentRecord]):
    """Files, data sets, and folders of text files."""

    def find(self, source: str, name: str | None) -> str:
        """As for files; a folder is one of text files, each of which is a document unless `name` is "text"."""
        if os.path.isdir(source) and name in (None, TEXT.name, FILE.name):
            return name or FILE.name
        return super().find(source, name)


DOCUMENTS = DocumentFormats("document", FILE_FORMATS, HUB)
"""What readers of documents know."""
