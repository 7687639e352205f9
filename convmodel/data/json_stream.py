"""Reading JSON of any size and layout value by value, in bounded memory, with the line on which each value begins."""

import codecs
import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from convmodel.data.containers import DamagedContainer
from convmodel.data.encodings import MARK, Utf8Stream
from convmodel.data.formats.base import Item, shorten
from convmodel.data.json_text import (
    MARK_FAULT,
    JsonContentError,
    describe_fault,
    make_object,
    parse_float,
    refuse_constant,
)
from convmodel.data.options import name_option

Path = tuple[str | int, ...]
"""The keys and positions that lead to a value within a JSON text: ("messages", 0)."""

_MAX_DEPTH = 8
"""The nesting depth at which lists and objects are always yielded whole, whatever the caller selects."""

_REMEDY = "repair the file, or write one value a line as JSON Lines"
_NESTED = ("start_map", "start_array")

_UNFINISHED = re.compile(rb"(?:\\u[dD][89abAB]..)?(?:\\(?:u.{0,3})?)?\Z")
_PAIR_BYTES = 12  # length of a surrogate pair that is written as two escapes
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_WORD = re.compile(rb"[\w'.+-]+|[,:}\]]|\xef\xbb\xbf")
# The parser would replace a lone surrogate, such as the escape \ud83d without its second half. Such an escape is
# rewritten as U+FFFF, which never stands for a character, and its four digits; it is restored after parsing.
_HALF_PAIR = re.compile(
    rb"((?:[^\\]++|\\[^u]|\\\Z|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+)(\\u[dD]|\Z)"
)
_HIDDEN = re.compile("\uffff([dD][89a-fA-F][0-9a-fA-F]{2})")


def take_depth(depth: int) -> Callable[[Path], bool]:
    """Return a `take` function for `read_values` that selects the values at a nesting depth.

    Args:
        depth: 0 for whole JSON texts, 1 for the elements of a list or the values of an object at the top level.
    """
    return lambda path: len(path) >= depth


def read_values(stream: Utf8Stream, take: Callable[[Path], bool], *, limit: int) -> Iterator[Item]:
    """Yield the selected values of one or several JSON texts in a file.

    Args:
        stream: the content of the file.
        take: a function that returns whether the list or object at a path is yielded whole. If not, its members are
            read one by one. Strings, numbers, booleans and null are always yielded.
        limit: the length limit of a value in characters.

    Yields:
        Each value with its path and the line on which it begins, or a problem. Reading ends at text that is not JSON.
    """
    reader = _ValueReader(stream, take, limit)
    try:
        for event, value in reader.events:
            yield from reader.walk((), event, value)
    except DamagedContainer as error:
        yield Item(reader.line, None, str(error))
    except (JsonContentError, RecursionError) as error:
        told = str(error) if isinstance(error, JsonContentError) else f"the JSON is nested too deeply; {_REMEDY}"
        yield Item(reader.line, None, told.replace("; ", ", and the rest of the file is not read; ", 1))


class _ValueReader:
    """Builder of values from the events of the streaming parser `ijson`.

    Args:
        stream, take, limit: see `read_values`.
    """

    def __init__(self, stream: Utf8Stream, take: Callable[[Path], bool], limit: int) -> None:
        self._stream = stream
        self._take = take
        self._limit = limit
        self._length = 0
        self._problem: str | None = None
        self.line = 1
        """The line of the last event."""
        self.events: Iterator[tuple[str, Any]] = chain.from_iterable(self._parse())
        """The events of the parser, such as ("map_key", "turns")."""

    def walk(self, path: Path, event: str, value: Any) -> Iterator[Item]:
        """Yield the value that begins with an event, or, if it is not taken whole, the selected values within."""
        if event not in _NESTED or len(path) >= _MAX_DEPTH or self._take(path):
            line = self.line
            value = self._build(event, value)
            yield Item(line, None if self._problem else value, self._problem, path)
            self._length = 0
            self._problem = None
            return
        for position, (event, value) in enumerate(self.events):
            if event in ("end_map", "end_array"):
                return
            if event == "map_key":
                yield from self.walk((*path, value), *next(self.events))
            else:
                yield from self.walk((*path, position), event, value)

    def _build(self, event: str, value: Any) -> Any:
        self._count(len(value) if event == "string" else 2)
        if event == "start_map":
            return self._check(make_object, self._members("end_map"))
        if event == "start_array":
            return [item for _, item in self._members("end_array")]
        if event == "string" and "\uffff" in value:
            return _HIDDEN.sub(lambda match: chr(int(match[1], 16)), value)
        return self._check(parse_float, str(value)) if isinstance(value, float) else value

    def _members(self, end: str) -> list[tuple[str, Any]]:
        """Return the members of a list or an object, each with its key ("" in a list).

        After a problem the members are dropped, because the value will not be used.
        """
        members: list[tuple[str, Any]] = []
        key = ""
        for event, value in self.events:
            if event == end:
                break
            if event == "map_key":
                key = self._build("string", value)
                continue
            members.append((key, self._build(event, value)))
            if self._problem:
                members.clear()
        return members

    def _count(self, length: int) -> None:
        self._length += length
        if self._length > self._limit and not self._problem:
            limit = name_option("max_line_bytes", self._limit)
            self._problem = f"the value is longer than {limit}; split it or raise the limit"

    def _check(self, make: Callable[[Any], Any], value: Any) -> Any:
        try:
            return make(value)
        except JsonContentError as error:
            self._problem = self._problem or str(error)

    def _parse(self) -> Iterator[list[tuple[str, Any]]]:
        """Yield the events of each piece of the text.

        Raises:
            JsonContentError: when the text is not JSON, or ends too early.
        """
        import ijson

        events = ijson.sendable_list()
        parser = ijson.basic_parse_coro(events, use_float=True, multiple_values=True)
        parser.send(b"0 ")  # an extra value, which is ignored: the parser refuses a text without values
        events.clear()
        silent = 0  # number of bytes since the last event; they belong to one long string
        failure: Exception | None = None
        try:
            is_line = True
            for piece in _split(self._stream):
                while is_line and piece.startswith(codecs.BOM_UTF8):
                    piece = piece.removeprefix(codecs.BOM_UTF8)
                    self._stream.has_marks_inside = True
                rest = piece
                if silent > self._limit and (skipped := _IN_STRING.match(piece)):
                    self._count(silent)
                    rest = piece[skipped.end() :]
                if rest:  # empty input would end the parser
                    parser.send(rest)
                silent = 0 if events else silent + len(piece.strip())
                yield events
                events.clear()
                is_line = piece.endswith((b"\n", b"\r"))
                self.line += is_line
            parser.close()
        except (ijson.JSONError, ValueError) as error:
            failure = error
        yield events
        if failure is not None:
            raise _damage(failure)


def _split(stream: Utf8Stream) -> Iterator[bytes]:
    """Yield the lines of a text with their line ends. Long lines are divided into pieces, but never within an escape.

    Raises:
        JsonContentError: when the text is not valid UTF-8.
    """
    text = b""
    offset = 0
    for block in chain(stream, [None]):
        text += block or b""
        try:
            end = codecs.utf_8_decode(text, "strict", block is None)[1]
        except UnicodeDecodeError as error:
            yield from _hide_halves(text[: error.start]).splitlines(keepends=True)
            raise JsonContentError(stream.describe_undecodable(text, error, offset, is_line=False)) from None
        held = _UNFINISHED.search(text, max(0, end - _PAIR_BYTES), end)
        if held and block is not None:
            end = len(text[: held.start()].rstrip(b"\\\r"))
        yield from _hide_halves(text[:end]).splitlines(keepends=True)
        text = text[end:]
        offset += end


def _hide_halves(text: bytes) -> bytes:
    """Rewrite the escapes of lone surrogates; see `_HALF_PAIR`."""
    if b"\\ud" not in text and b"\\uD" not in text:
        return text
    return _HALF_PAIR.sub(lambda match: match[1] + match[2].replace(b"\\u", b"\\uffff"), text)


def _damage(error: Exception) -> Exception:
    """Convert an error of the parser to a JsonContentError with a remedy.

    The message of the parser has three lines: the fault, a part of the text, and an arrow below the place of the fault.
    """
    if isinstance(error, JsonContentError | DamagedContainer):
        return error
    shown = error.args[0] if isinstance(error.args[0], bytes) else str(error).encode()
    fault, text, arrow = [*shown.split(b"\n"), b"", b""][:3]
    is_large = fault.endswith(b"overflow")
    at = arrow.find(b"^") + is_large
    found = next((match[0].decode() for match in _WORD.finditer(text) if match.start() < at <= match.end()), "")
    if is_large:
        return JsonContentError(f"the number {shorten(found)} is too large; write it as a string, or leave it out")
    if found == MARK:
        return JsonContentError(f"not JSON: a {MARK_FAULT}")
    if found in ("NaN", "Infinity", "-Infinity"):
        refuse_constant(found)
    told = fault.decode().rpartition("error: ")[2].rstrip(".").replace("premature EOF", "the text ends too early")
    return JsonContentError(describe_fault(f"{told}, found {found!r}" if found else told, found, _REMEDY))
