"""The position in a JSON text that is read in blocks, and the limits of its values."""

import codecs
import io
import re
from collections.abc import Iterable

_SPACE = re.compile(r"[ \t\n]*")
_SCALAR = re.compile(r'[^ \t\n,:"\[\]{}]*')
_OUTSIDE = re.compile(r'(?:[^"\[\]{}]++|"(?:[^"\\\n]++|\\[^\n])*+")*+(["\[\]{}])')
_IN_STRING = re.compile(r'[^"\\\n]*+(["\n]|\\[^\n])')
_OPENERS = {"]": "[", "}": "{"}


class JsonCursor:
    """A position in a text that is decoded block by block.

    Args:
        blocks: the content in UTF-8. An undecodable byte becomes a lone surrogate.
        limit: the length limit of a value in characters.
        encoding: the encoding of the file, for error messages.
    """

    def __init__(self, blocks: Iterable[bytes], limit: int, encoding: str) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._newlines = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._blocks = iter(blocks)
        self._text = ""
        self._position = 0
        self._counted = 0
        self._lines = 1
        self._ended = False
        self.limit = limit
        self.encoding = encoding
        self.proposal: str | None = None

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
