"""Reading JSON of any size and layout value by value, in bounded memory.

The values that are wanted are cut out of the text by their brackets and decoded one at a time. Unlike a parser of the
whole text this gives the line of each value, and continues after a value that is damaged.
"""

import json
from collections.abc import Callable, Iterable, Iterator

from convmodel.data.containers import DamagedContainer
from convmodel.data.encodings import propose_encoding
from convmodel.data.formats.base import Item
from convmodel.data.json_cursor import JsonCursor
from convmodel.data.json_text import parse_json
from convmodel.data.options import name_option

Path = tuple[str | int, ...]
"""The keys and positions that lead to a value: ("messages", 0)."""

_MAX_DEPTH = 8
"""The depth at which values are taken whole; deeper ones are never descended into."""

_WANTED = "repair the file, or write one value a line as JSON Lines"


class _BrokenStructure(ValueError):
    """The text is not JSON outside of the wanted values, so that nothing after it can be located."""


def take_depth(depth: int) -> Callable[[Path], bool]:
    """Return a function that takes the values of a depth: 0 for whole texts, 1 for the elements of a list."""
    return lambda path: len(path) >= depth


def read_values(
    blocks: Iterable[bytes], take: Callable[[Path], bool], *, limit: int, noun: str, encoding: str = "utf-8"
) -> Iterator[Item]:
    """Yield the wanted values of JSON texts that follow one another.

    Args:
        blocks: the content in UTF-8.
        take: a function from the path of a list or object to whether it is yielded whole; otherwise its members are
            read one by one. Other values are always yielded.
        limit: the length limit of a value in characters.
        noun: the name of the items in error messages.
        encoding: the encoding of the file, for error messages.

    Yields:
        Each value with the line on which it begins and its path, or a problem. After damage outside of a value nothing
        more is read.
    """
    cursor = JsonCursor(blocks, limit, encoding)
    try:
        while cursor.next_character():
            yield from _walk(cursor, (), take, noun)
    except _BrokenStructure as error:
        yield Item(cursor.line, None, f"not JSON: {error}; {_WANTED}")
    except DamagedContainer as error:
        yield Item(cursor.line, None, str(error))


def _walk(cursor: JsonCursor, path: Path, take: Callable[[Path], bool], noun: str) -> Iterator[Item]:
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


def _read_key(cursor: JsonCursor) -> str:
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


def _read_item(cursor: JsonCursor, path: Path, noun: str) -> Item:
    line = cursor.line
    text = cursor.read_value()
    if text is None:
        limit = name_option("max_line_bytes", cursor.limit)
        return Item(line, None, f"the value is longer than {limit}; split it or raise the limit", path)
    if not text:
        raise _BrokenStructure(_describe_missing("a value", cursor.next_character()))
    try:
        _check_decoded(text, cursor)
        return Item(line, parse_json(text, noun=noun, wanted="repair it"), None, path)
    except ValueError as error:
        return Item(line, None, str(error), path)


def _check_decoded(text: str, cursor: JsonCursor) -> None:
    """Raise ValueError for a text with bytes that could not be decoded, with a proposal that is made once a file."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        fault = f"not {cursor.encoding}: character {error.start + 1} of the value cannot be decoded"
        if cursor.proposal is None:
            raw = text.encode("utf-8", "surrogateescape")
            at = len(text[: error.start].encode())
            cursor.proposal = propose_encoding(raw, at) if cursor.encoding == "utf-8" else ""
        raise ValueError(f"{fault}; save the file as UTF-8{cursor.proposal}") from None


def _describe_missing(wanted: str, found: str) -> str:
    return f"{wanted} is missing before {found!r}" if found else f"the text ends where {wanted} is missing"
