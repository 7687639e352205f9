"""Line wrapping of streamed text, with wide characters counted at their display width."""

from collections.abc import Iterator

from wcwidth import iter_graphemes, width

from convmodel.cli.chat.screen import LineBreaker, to_printable

_CLOSING = frozenset("、。，．！？：；）」』】〉》〕］｝ーっゃゅょッャュョ々…‥・!?,.:;)]}%’”")
"""Characters that must not begin a line after a wide character."""

_OPENING = frozenset("（「『【〈《〔［｛([{‘“")
"""Characters that must not end a line before a wide character."""


class Wrapper(LineBreaker):
    """Wraps a streamed text at spaces and between wide characters.

    A word is returned only once its end is known, since a written line cannot be changed.

    Args:
        columns: width of a line; longer words are broken at any position.

    Example:
        >>> wrapper = Wrapper(12)
        >>> [wrapper.add("How are y"), wrapper.add("ou today?"), wrapper.end()]
        ['How are', ' you', '\\ntoday?']
    """

    def __init__(self, columns: int) -> None:
        super().__init__(columns)
        self._rest = ""
        self._spaces = ""
        self._column = 0
        self._long = False  # whether the start of the pending word was returned already

    def add(self, piece: str) -> str:
        *units, self._rest = [*_units(self._rest + to_printable(piece))] or [""]
        written = "".join(map(self._place, units))
        if self._rest and (self._long or width(self._rest) > self._columns):
            *whole, self._rest = iter_graphemes(self._rest)
            self._long = True
            written += self._place_parts("".join(whole))
        return written

    def end(self) -> str:
        rest = self._rest
        self._rest = ""
        return "".join(map(self._place, _units(rest)))

    def _place(self, unit: str) -> str:
        long = self._long
        self._long = False
        if unit == "\n":
            self._spaces = ""
            self._column = 0
            return "\n"
        if unit == " ":
            self._spaces += " "
            return ""
        spaces = self._spaces
        size = width(unit)
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
        spaces = self._spaces
        self._spaces = ""
        return "".join(map(self._place_part, (*spaces, *iter_graphemes(word))))

    def _place_part(self, part: str) -> str:
        size = width(part)
        fits = self._column + size <= self._columns
        self._column = self._column + size if fits else size
        return part if fits else f"\n{part}"


def _units(text: str) -> Iterator[str]:
    """Yield unbreakable units: newlines, spaces, words, and wide characters with their punctuation."""
    unit = previous = ""
    for part in iter_graphemes(text):
        if unit and (part in "\n " or previous in "\n " or _can_break_between(previous, part)):
            yield unit
            unit = ""
        unit += part
        previous = part
    if unit:
        yield unit


def _can_break_between(left: str, right: str) -> bool:
    """Return whether a line may end between two adjacent graphemes, neither of which is white space."""
    return (width(left) > 1 or width(right) > 1) and right[0] not in _CLOSING and left[-1] not in _OPENING
