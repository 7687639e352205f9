"""Tables that the terminal and the HTML page of a report share."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A table cell that is not plain text.

    Args:
        text: content of the cell.
        style: a class of `style.css`, which is also a key of `terminal.STYLES`; unknown ones have no effect.
        detail: explanation below the text, on the HTML page only.
    """

    text: str
    style: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under a header. The first column holds names; a row of a single cell is the heading of a group of rows."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
