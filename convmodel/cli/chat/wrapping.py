"""Pieces of a text in, the same pieces broken into lines of a width out, wide characters counted as they are shown."""

from collections.abc import Iterator

from wcwidth import iter_graphemes, width

from convmodel.cli.chat.text import printable

_CLOSING = frozenset("、。，．！？：；）」』】〉》〕］｝ーっゃゅょッャュョ々…‥・!?,.:;)]}%’”")
"""Must not begin a line where it follows a wide character."""

_OPENING = frozenset("（「『【〈《〔［｛([{‘“")
"""Must not end one where a wide character follows it."""


class Wrapper:
    """Breaks a text that comes in pieces into lines, at spaces and between wide characters.

    A word is given out when its end is known: a line that is written cannot be taken back.

    Args:
        columns: of a line; a word that is longer is broken anywhere.

    Example:
        >>> wrapper = Wrapper(12)
        >>> [wrapper.add("How are y"), wrapper.add("ou today?"), wrapper.end()]
        ['How are', ' you', '\\ntoday?']
    """

    def __init__(self, columns: int) -> None:
        self._columns = max(2, columns)
        self._rest = ""
        self._spaces = ""
        self._column = 0
        self._long = False  # whether the rest belongs to a word of which parts were given out already

    def add(self, piece: str) -> str:
        """What can be written now."""
        *units, self._rest = [*_units(self._rest + printable(piece))] or [""]
        written = "".join(map(self._place, units))
        if self._rest and (self._long or width(self._rest) > self._columns):
            *whole, self._rest = iter_graphemes(self._rest)
            self._long = True
            written += self._place_parts("".join(whole))
        return written

    def end(self) -> str:
        """What is still to be written; spaces at the end are not."""
        rest, self._rest = self._rest, ""
        return "".join(map(self._place, _units(rest)))

    def _place(self, unit: str) -> str:
        long, self._long = self._long, False
        if unit == "\n":
            self._spaces, self._column = "", 0
            return "\n"
        if unit == " ":
            self._spaces += " "
            return ""
        spaces, size = self._spaces, width(unit)
        if long or size > self._columns:
            return self._place_parts(unit)
        self._spaces = ""
        if self._column + len(spaces) + size <= self._columns:
            self._column += len(spaces) + size
            return spaces + unit
        start = "\n" if self._column else ""
        self._column = size
        return start + unit

    def _place_parts(self, word: str) -> str:
        spaces, self._spaces = self._spaces, ""
        return "".join(map(self._place_part, (*spaces, *iter_graphemes(word))))

    def _place_part(self, part: str) -> str:
        size = width(part)
        fits = self._column + size <= self._columns
        self._column = self._column + size if fits else size
        return part if fits else f"\n{part}"


def wrapped(text: str, columns: int) -> str:
    """A whole text, broken into lines."""
    wrapper = Wrapper(columns)
    return wrapper.add(text) + wrapper.end()


def _units(text: str) -> Iterator[str]:
    """What stays together: newlines, spaces, words, wide characters with what clings to them."""
    unit = previous = ""
    for part in iter_graphemes(text):
        if unit and (part in "\n " or previous in "\n " or _parts(previous, part)):
            yield unit
            unit = ""
        unit += part
        previous = part
    if unit:
        yield unit


def _parts(left: str, right: str) -> bool:
    """Whether a line may end between two neighbours, neither of which is white space."""
    return (width(left) > 1 or width(right) > 1) and right[0] not in _CLOSING and left[-1] not in _OPENING
