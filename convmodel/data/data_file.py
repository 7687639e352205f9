"""A file as formats read it: its beginning, its lines and its JSON values, with the options of the reader."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from convmodel.data.containers import ByteStream, DamagedContainer, InputFile
from convmodel.data.encodings import MARK
from convmodel.data.foreign_files import MARKED_BYTES
from convmodel.data.formats.base import Item, TextLine
from convmodel.data.json_stream import Path, read_values
from convmodel.data.lines import open_utf8, read_head, read_lines, split_head
from convmodel.data.options import ReadOptions

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_LINE_MARKS = re.compile("^\ufeff+", re.MULTILINE)
_LINES = 20
_CUT_OFF = 2**14
"""Maximum number of characters at which `Head.text` is surely the whole file.

It is a quarter of the 64 KiB that are read, because a character has at most 4 bytes.
"""

MARKS_NOTE = "byte order marks inside, where files were joined"

_CLOSERS = {"[": "]", "{": "}"}


@dataclass
class Notes:
    """Notes for the report of one pass over a source: recognised properties of its files, and counts.

    Args:
        recognised: descriptions of recognised properties of the files, without duplicates: "UTF-16-LE".
        left_out: the number of messages that were left out on purpose, by their kind: "tool message".
        messages, characters: in chat exports, the number of messages and of their characters, by sender.
        files: the number of files and data sets that are read.
        other_files: the files of folders and archives that were skipped; those with a reason come first.
    """

    recognised: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    files: int = 0
    other_files: list[str] = field(default_factory=list)

    def add(self, remark: str) -> None:
        """Add a recognised property."""
        if remark not in self.recognised:
            self.recognised.append(remark)


class Head:
    """The beginning of a file, from which its format is recognised.

    Args:
        file: the file.
        options: the options of the reader.
    """

    def __init__(self, file: InputFile, options: ReadOptions) -> None:
        self.file = file
        self.options = options
        self.text = _LINE_MARKS.sub("", read_head(file, options.encoding))
        """The first 64 KiB of the file as text, without byte order marks at the beginning of lines."""

    @cached_property
    def lines(self) -> list[str]:
        """The first 20 lines that are not blank, without line ends; the last one may be cut off."""
        return split_head(self.text)[:_LINES]

    @property
    def is_cut_off(self) -> bool:
        """Whether the file may be longer than this beginning."""
        return len(self.text) > _CUT_OFF

    @cached_property
    def whole_lines(self) -> list[str]:
        """The lines of `lines` without the last one if it may be cut off, unless it is the only one."""
        is_partial = len(self.lines) < _LINES and self.is_cut_off
        return self.lines[:-1] or self.lines if is_partial else self.lines

    @cached_property
    def magic(self) -> bytes:
        """The first 512 bytes, decompressed; fewer for a short or damaged file."""
        start = b""
        with suppress(DamagedContainer), ByteStream(self.file) as stream:
            while len(start) < MARKED_BYTES and (more := stream.read(MARKED_BYTES - len(start))):
                start += more
        return start

    @cached_property
    def value(self) -> Any:
        """The first JSON value of the file if it is a list or an object, and None otherwise.

        If the text is cut off, or is not valid JSON from some point on, the value holds only the members before.
        """
        text = self.text.lstrip()
        if not text.startswith(("[", "{")):
            return None
        try:
            return json.JSONDecoder().raw_decode(text)[0]
        except json.JSONDecodeError as error:
            value = _decode_beginning(text)
            return _decode_beginning(text[: error.pos]) if value is None else value
        except (ValueError, RecursionError):
            return _decode_beginning(text)

    def line_value(self, line: str) -> Any:
        """Return the JSON value of a line if it is a list or an object, and None otherwise."""
        if not line.lstrip().startswith(("[", "{")):
            return None
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            return None


def _decode_beginning(text: str) -> Any:
    """Return the value of a JSON text that is cut off, or None if that fails.

    The text after the last comma is dropped, and the open brackets before it are closed.
    """
    nesting: list[str] = []
    end = 0
    closers = ""
    for token in _TOKEN.finditer(text):
        if token[0] in _CLOSERS:
            nesting.append(_CLOSERS[token[0]])
        elif token[0] == ",":
            end = token.start()
            closers = "".join(reversed(nesting))
        elif nesting and token[0] == nesting[-1]:
            nesting.pop()
        elif token[0] in ("]", "}"):
            return None
    try:
        return json.loads(text[:end] + closers)
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True)
class DataFile:
    """A file to read.

    Args:
        file: the file.
        options: the options of the reader.
        noun: the name of an item in error messages.
        notes: the notes for the report of this pass, to which formats add.
    """

    file: InputFile
    options: ReadOptions
    noun: str = "conversation"
    notes: Notes = field(default_factory=Notes)

    @property
    def name(self) -> str:
        """The name in messages."""
        return self.file.name

    @cached_property
    def head(self) -> Head:
        """The beginning of the file."""
        return Head(self.file, self.options)

    def lines(self) -> Iterator[TextLine]:
        """Yield the lines of the file from its start, without byte order marks at their beginnings."""
        self._note_encoding()
        for line in read_lines(self.file, max_line_bytes=self.options.line_limit, encoding=self.options.encoding):
            if line.text.startswith(MARK):
                self.notes.add(MARKS_NOTE)
                line = line._replace(text=line.text.lstrip(MARK))
            yield line

    def values(self, take: Callable[[Path], bool]) -> Iterator[Item]:
        """Yield the JSON values of the file from its start.

        Args:
            take: a function that returns whether the list or object at a path is yielded whole; see `read_values`.
        """
        try:
            with open_utf8(self.file, self.options.encoding) as stream:
                yield from read_values(stream, take, limit=self.options.line_limit)
                if stream.has_marks_inside:
                    self.notes.add(MARKS_NOTE)
        except DamagedContainer as error:  # not even its beginning can be decompressed
            yield Item(1, None, str(error))

    def _note_encoding(self) -> None:
        """Add the encoding that a byte order mark shows, and uncommon line ends, to the notes."""
        with suppress(DamagedContainer), open_utf8(self.file, self.options.encoding) as stream:
            if stream.start and not stream.is_utf8:
                self.notes.add(stream.encoding.upper())
        if "\r" in self.head.text and "\n" not in self.head.text:
            self.notes.add("lines that end in CR")
