"""The formats of documents: JSON Lines, lines of Python literals, plain text, and Hub data sets."""

import ast
import os
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from convmodel.data.data_file import Head
from convmodel.data.formats.base import Certainty, FileFormat, RecordT, from_lines
from convmodel.data.formats.document_record import WANTED, DocumentRecord, make_record
from convmodel.data.formats.document_tables import CSV, JSON, TSV
from convmodel.data.formats.hub import HubAddress, HubFormat
from convmodel.data.formats.parquet import plain_value
from convmodel.data.formats.plain_text import read_separated, read_whole
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.json_text import encode_json, parse_json
from convmodel.data.lines import parse_lines
from convmodel.data.options import name_option
from convmodel.data.sources import SourceFiles, list_files


def score_jsonl(head: Head) -> Certainty:
    """Return LIKELY if the first line, or at least half of the lines, begin with a brace, and NONE otherwise."""
    begins = [line.lstrip().startswith("{") for line in head.lines]
    return Certainty.LIKELY if begins[0] or 2 * sum(begins) >= len(begins) else Certainty.NONE


def dump(body: str, meta: Any) -> str:
    """Return a document as one line of JSON, without a line end."""
    return encode_json({"body": body} if meta is None else {"body": body, "meta": meta})


def _jsonl_record(number: int, text: str) -> DocumentRecord:
    remedy = f"read it with {name_option('format', 'python')}, or write it with json.dumps"
    return make_record(number, parse_json(text, noun="document", wanted=WANTED, python=remedy))


_SUFFIXES = (".jsonl", ".ndjson", ".json", ".documents")
JSONL = FileFormat(
    "jsonl", "JSON Lines", "line", _SUFFIXES, score_jsonl, from_lines(partial(parse_lines, parse=_jsonl_record))
)


MAX_OUTSIDE_CHARACTERS = 2**16
"""Maximum number of characters of a line outside of strings, each of which may take hundreds of bytes to parse."""

_BEGIN = re.compile(r"\s*\{\s*[bBrRuU]?'")
# An unclosed string extends to the end of the line, so that no quote is examined twice.
_STRING = re.compile(r"""'(?:[^'\\]++|\\(?:.|\Z))*+(?:'|\Z)|"(?:[^"\\]++|\\(?:.|\Z))*+(?:"|\Z)""", re.DOTALL)
_WANTED = "write {'body': '...', 'meta': '...'}, or JSON"


def score_python(head: Head) -> Certainty:
    """Return SURE if at least half of the lines begin like a dict whose first key is in single quotes, else NONE."""
    begins = sum(_BEGIN.match(line) is not None for line in head.lines)
    return Certainty.SURE if 2 * begins >= len(head.lines) else Certainty.NONE


def _python_record(number: int, text: str) -> DocumentRecord:
    """Return the record of a line.

    Raises:
        ValueError: when the line is not a literal, or would take too much memory to parse.
    """
    outside = sum(map(len, _STRING.split(text)))
    if outside > MAX_OUTSIDE_CHARACTERS:
        raise ValueError(
            f"{outside:,} characters are outside strings, {MAX_OUTSIDE_CHARACTERS:,} are allowed; {_WANTED}"
        )
    try:
        with warnings.catch_warnings():  # an invalid escape sequence is kept as it is
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text.strip())
    except SyntaxError as error:
        position = f" at column {error.offset}" if error.offset else ""
        raise ValueError(f"not a Python literal: {_clean_message(error.msg)}{position}; {_WANTED}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"not a Python literal: nested too deeply; {_WANTED}") from None
    except (ValueError, TypeError) as error:  # a name or a call; an unhashable key
        raise ValueError(f"not a Python literal: {_clean_message(str(error))}; {_WANTED}") from None
    return make_record(number, value)


def _clean_message(message: str) -> str:
    """Return Python's error message in one line, without memory addresses."""
    return re.sub(r" on line \d+|: <.*|; .*", "", message.partition("\n")[0].partition(" (")[0])


PYTHON = FileFormat(
    "python", "Python lines", "line", (), score_python, from_lines(partial(parse_lines, parse=_python_record))
)


def row_record(
    make: Callable[[int, Any, Any], RecordT], number: int, row: Mapping[str, Any], address: HubAddress
) -> RecordT:
    """Make a record from a row of a data set. A single metadata column is the metadata; several are its fields.

    Args:
        make: a function from the number of the row, the text and the metadata to a record.
        number: the number of the row, counted from 1.
        row: the values of the row by column.
        address: the address, which names the columns.
    """
    meta = {name: plain_value(row[name]) for name in address.meta_columns}
    return make(number, row[str(address.column)], meta if len(meta) > 1 else next(iter(meta.values()), None))


HUB = HubFormat(
    example="hub://org/name?column=text&split=train",
    options=("column", "meta", "split", "config", "revision"),
    record=partial(row_record, DocumentRecord),
)


def _never(head: Head) -> Certainty:
    """Return NONE: any file could be plain text, so that only its suffix or the user selects this format."""
    return Certainty.NONE


TEXT = FileFormat("text", "plain text", "document", (".txt",), _never, from_lines(read_separated))
FILE = FileFormat("file", "one document a file", "document", (), _never, from_lines(read_whole))


__all__ = ["DOCUMENTS", "FILE_FORMATS", "DocumentFormatRegistry", "DocumentRecord"]

FILE_FORMATS: dict[str, FileFormat[DocumentRecord]] = {
    format.name: format for format in (PYTHON, JSONL, JSON, CSV, TSV, TEXT, FILE)
}
"""The file formats in the order of detection, the most specific first."""


class DocumentFormatRegistry(FormatRegistry[DocumentRecord]):
    """The formats of documents, which may also be read from a folder of text files."""

    def list_files(self, source: str, name: str | None) -> SourceFiles:
        """Return the files of a path, a glob or a folder. If a folder has text files, only these are returned."""
        if os.path.isdir(source) and name in (None, TEXT.name, FILE.name):
            with suppress(IsADirectoryError):
                return list_files(source, noun=self.noun, suffixes=TEXT.suffixes)
        return super().list_files(source, name)


DOCUMENTS = DocumentFormatRegistry("document", FILE_FORMATS, HUB)
"""The formats that readers of documents support."""
