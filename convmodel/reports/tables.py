"""Tables of reports, for the terminal and the HTML page, and their printing on a terminal of any width."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

STYLES: Mapping[str, str] = {
    "strong": "bold",
    "muted": "dim",
    "note": "yellow",
    "better": "green",
    "worse": "red",
    "higher": "bold",
    "lower": "bold",
    "problem": "bold red",
    "remark": "bold yellow",
    "fine": "bold green",
    "position": "cyan",
}
"""Terminal style for each class name of `style.css`."""


@dataclass(frozen=True)
class Cell:
    """Table cell with a style or an explanation.

    Args:
        text: text of the cell.
        style: class of `style.css` and key of `STYLES`; an unknown style has no effect.
        detail: explanation below the text, on the HTML page only.
    """

    text: str
    style: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """Table with a header. The first column has the names of rows. A row of one cell is the heading of further rows."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]


def console_grid(table: Table, *, gap: int = 1, wrap: bool = True) -> Grid:
    """Return a table of `rich`, without lines, because box characters are two columns wide in some encodings.

    Args:
        table: the table; rows under a heading are indented.
        gap: spaces between columns.
        wrap: whether all columns may wrap on a narrow terminal; otherwise, only the last one.
    """
    grid = Grid(box=None, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for index, name in enumerate(table.header):
        no_wrap = not wrap and index < len(table.header) - 1
        grid.add_column(Text(name), justify="right" if index else "left", overflow="fold", no_wrap=no_wrap)
    grouped = any(len(row) == 1 for row in table.rows)
    for index, row in enumerate(table.rows):
        cells = [Cell(cell) if isinstance(cell, str) else cell for cell in row]
        texts = [Text(cell.text, style=STYLES.get(cell.style, "")) for cell in cells]
        if len(row) == 1:
            if index:
                grid.add_row()
            texts[0].stylize(STYLES["muted"])
        elif grouped:
            texts[0] = Text("  ") + texts[0]
        grid.add_row(*texts)
    return grid


def column_groups(table: Table, width: int) -> list[Table]:
    """Split a table into tables that fit in `width` characters, each with the column of names and some others."""
    widths = [max(map(len, map(str, column))) + 1 for column in zip(table.header, *table.rows, strict=True)]
    fitting = max(1, (width - widths[0]) // max(widths[1:]))
    parts = [slice(start, start + fitting) for start in range(1, len(table.header), fitting)]
    return [Table(("", *table.header[part]), tuple((row[0], *row[part]) for row in table.rows)) for part in parts]


def print_wrapped(text: Text, console: Console, *, indent: int = 0) -> None:
    """Print a text wrapped to the width of the console, without trailing spaces."""
    for line in text.wrap(console, max(console.width - indent, 10)):
        line.rstrip()
        console.print(Text(" " * indent) + line, soft_wrap=True)
