"""Splitting the lines of text tables into cells, with the quotes of CSV."""

import re
from functools import cache

_QUOTED = re.compile(r'((?:[^"]++|"")*+)("?)')


def split_row(text: str, delimiter: str) -> list[str] | None:
    """Return the cells of a row on one line; None if it cannot be parsed."""
    cells = RowCells(delimiter)
    try:
        return cells.cells if cells.add(text) else None
    except ValueError:
        return None


class RowCells:
    """Parser of the cells of a row, which may span several lines.

    Args:
        delimiter: the separator.
    """

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._pattern = _plain_pattern(delimiter)
        self.cells: list[str] = []
        self._open: list[str] | None = None

    def add(self, text: str) -> bool:
        """Add a line; return whether the row is complete.

        Raises:
            ValueError: when something other than a separator follows a closing quote.
        """
        if self._open is None and '"' not in text:
            self.cells.extend(text.split(self._delimiter))
            return True
        position = 0
        while True:
            if self._open is None and not text.startswith('"', position):
                match = self._pattern.match(text, position)
                self.cells.append(match[0] if match else "")
                position = match.end() if match else position
            else:
                position += self._open is None
                match = _QUOTED.match(text, position)
                parts = self._open or []
                parts.append(match[1] if match else "")
                position = match.end() if match else position
                if not match or not match[2]:
                    parts.append("\n")
                    self._open = parts
                    return False
                self._open = None
                self.cells.append("".join(parts).replace('""', '"'))
            if position >= len(text):
                return True
            if not text.startswith(self._delimiter, position):
                raise ValueError(f"{self._delimiter!r} expected after '\"'")
            position += 1


@cache
def _plain_pattern(delimiter: str) -> re.Pattern[str]:
    return re.compile(f"[^{re.escape(delimiter)}]*")
