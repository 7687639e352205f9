"""Reading JSON of any size and layout value by value, in bounded memory.

The values that are wanted are cut out of the text by their brackets and decoded one at a time. Unlike a parser of the
whole text this gives the line of each value, and continues after a value that is damaged.
"""

import codecs
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator

from convmodel.data.formats.base import Item
from convmodel.data.json_text import parse_json
from convmodel.data.options import name_option
from convmodel.data.sources import DamagedContainer

Path = tuple[str | int, ...]
"""The keys and positions that lead to a value: ("messages", 0)."""

_MAX_DEPTH = 8
"""The depth at which values are taken whole; deeper ones are never descended into."""

_SPACE = re.compile(r"[ \t\n]*")
_SCALAR = re.compile(r'[^ \t\n,:"\[\]{}]*')
_OUTSIDE = re.compile(r'(?:[^"\[\]{}]++|"(?:[^"\\\n]++|\\[^\n])*+")*+(["\[\]{}])')
_IN_STRING = re.compile(r'[^"\\\n]*+(["\n]|\\[^\n])')
_OPENERS = {"]": "[", "}": "{"}
_WANTED = "repair the file, or write one value a line as JSON Lines"


class _BrokenStructure(ValueError):
    """The text is not JSON outside of the wanted values, so that nothing after it can be located."""


def take_depth(depth: int) -> Callable[[Path], bool]:
    """Return a function that takes the values of a depth: 0 for whole texts, 1 for the elements of a list."""
    return lambda path: len(path) >= depth


def read_values(blocks: Iterable[bytes], take: Callable[[Path], bool], *, limit: int, noun: str) -> Iterator[Item]:
    """Yield the wanted values of JSON texts that follow one another.

    Args:
        blocks: the content in UTF-8.
        take: a function from the path of a list or object to whether it is yielded whole; otherwise its members are
            read one by one. Other values are always yielded.
        limit: the length limit of a value in characters.
        noun: the name of the items in error messages.

    Yields:
        Each value with the line on which it begins and its path, or a problem. After damage outside of a value nothing
        more is read.
    """
    cursor = _Cursor(blocks, limit)
    try:
        while cursor.next_character():
            yield from _walk(cursor, (), take, noun)
    except _BrokenStructure as error:
        yield Item(cursor.line, None, f"not JSON: {error}; {_WANTED}")
    except DamagedContainer as error:
        yield Item(cursor.line, None, str(error))


def _walk(cursor: "_Cursor", path: Path, take: Callable[[Path], bool], noun: str) -> Iterator[Item]:
    character = cursor.next_character()
    if character not in ("[", "{") or len(path) >= _MAX_DEPTH or take(path):
        yield _read_item(cursor, path, noun)
        return
    closer = "]" if character == "[" else "}"
    cursor.skip()
    position = 0
    while (character := cursor.next_character()) != closer:
        key: str | int = position
        if closer == "}":
            key = _read_key(cursor)
        yield from _walk(cursor, (*path, key), take, noun)
        position += 1
        character = cursor.next_character()
        if character == ",":
            cursor.skip()
        elif character != closer:
            raise _BrokenStructure(_describe_missing(f", or {closer}", character))
    cursor.skip()


def _read_key(cursor: "_Cursor") -> str:
    if cursor.next_character() != '"':
        raise _BrokenStructure(_describe_missing("a key in quotes", cursor.next_character()))
    text = cursor.read_value()
    try:
        key = json.loads(text or "")
    except ValueError:
        raise _BrokenStructure("a key cannot be read") from None
    if cursor.next_character() != ":":
        raise _BrokenStructure(_describe_missing("a colon", cursor.next_character()))
    cursor.skip()
    return str(key)


def _read_item(cursor: "_Cursor", path: Path, noun: str) -> Item:
    line = cursor.line
    text = cursor.read_value()
    if text is None:
        limit = name_option("max_line_bytes", cursor.limit)
        return Item(line, None, f"the value is longer than {limit}; split it or raise the limit", path)
    if not text:
        raise _BrokenStructure(_describe_missing("a value", cursor.next_character()))
    if not _is_decoded(text):
        fault = "not UTF-8: a byte of the value cannot be decoded"
        return Item(line, None, f"{fault}; save the file as UTF-8, or read it with {name_option('encoding')}", path)
    try:
        return Item(line, parse_json(text, noun=noun, wanted="repair it"), None, path)
    except ValueError as error:
        return Item(line, None, str(error), path)


def _is_decoded(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _describe_missing(wanted: str, found: str) -> str:
    return f"{wanted} is missing before {found!r}" if found else f"the text ends where {wanted} is missing"


class _Cursor:
    """A position in a text that is decoded block by block.

    Args:
        blocks: the content in UTF-8. An undecodable byte becomes a lone surrogate.
        limit: the length limit of a value in characters.
    """

    def __init__(self, blocks: Iterable[bytes], limit: int) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._newlines = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._blocks = iter(blocks)
        self._text = ""
        self._position = 0
        self._counted = 0
        self._lines = 1
        self._ended = False
        self.limit = limit

    @property
    def line(self) -> int:
        """The number of the current line."""
        self._lines += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._lines

    def next_character(self) -> str:
        """Return the next character that is not white space, without moving beyond it; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._position)
            self._position = match.end() if match else self._position
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._refill():
                return ""

    def skip(self) -> None:
        """Move beyond the current character."""
        self._position += 1

    def read_value(self) -> str | None:
        """Move beyond the value that begins here, and return its text; None if it is longer than the limit."""
        return self._read_nested() if self.next_character() in ('"', "[", "{") else self._read_scalar()

    def _read_nested(self) -> str | None:
        value = _ValueText(self.limit)
        start = self._position
        nesting = _Nesting(self._text[start])
        self.skip()
        while not nesting.is_closed:
            match = nesting.pattern.match(self._text, self._position)
            if match is not None:
                self._position = match.end()
                nesting.add(match[1])
                continue
            # A backslash at the end belongs to the next character.
            is_split = nesting.in_string and self._text.endswith("\\", self._position)
            self._position = len(self._text) - is_split
            value.add(self._text[start : self._position])
            start = 0
            if not self._refill():
                self._position = len(self._text)
                break
        value.add(self._text[start : self._position])
        return value.finish()

    def _read_scalar(self) -> str:
        text = ""
        while True:
            match = _SCALAR.match(self._text, self._position)
            text += match[0] if match else ""
            self._position += len(match[0]) if match else 0
            if self._position < len(self._text) or len(text) > self.limit or not self._refill():
                return text

    def _refill(self) -> bool:
        """Replace the text before the position by the next block; return whether there was one."""
        self._lines = self.line
        rest = self._text[self._position :]
        more = ""
        while not more and not self._ended:
            block = next(self._blocks, None)
            self._ended = block is None
            more = self._newlines.decode(block or b"", final=self._ended)
        self._text = rest + more
        self._position = 0
        self._counted = 0
        return bool(more)


class _Nesting:
    """The brackets and the string that are open at a position.

    Args:
        first: the bracket or quote with which the value begins.
    """

    def __init__(self, first: str) -> None:
        self._open: list[str] = []
        self.in_string = False
        self.add(first)

    @property
    def pattern(self) -> re.Pattern[str]:
        """The pattern of the next bracket, string or quote."""
        return _IN_STRING if self.in_string else _OUTSIDE

    @property
    def is_closed(self) -> bool:
        """Whether the value ends here."""
        return not self._open and not self.in_string

    def add(self, token: str) -> None:
        """Take the next match of the pattern into account."""
        if self.in_string:
            self.in_string = token.startswith("\\")  # a string does not go over the end of a line
        elif token == '"':
            self.in_string = True
        elif token in ("[", "{"):
            self._open.append(token)
        elif token in _OPENERS and _OPENERS[token] in self._open:
            while self._open.pop() != _OPENERS[token]:
                pass


class _ValueText:
    """The text of a value, of which nothing is held beyond the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._length = 0
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        self._length += len(text)
        if self._length <= self._limit:
            self._parts.append(text)
        else:
            self._parts.clear()

    def finish(self) -> str | None:
        return "".join(self._parts) if self._length <= self._limit else None
