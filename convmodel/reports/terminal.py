"""Print the tables and paragraphs of reports on a terminal of any width."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from convmodel.reports.tables import Cell, Table

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
"""Terminal styles by the class names of `style.css`."""


def console_grid(table: Table, *, gap: int = 1, wrap: bool = True) -> Grid:
    """Return a table for `rich`, without lines: box characters are two columns wide in some encodings.

    Args:
        table: rows in a group are indented below the group's heading.
        gap: spaces between columns.
        wrap: whether every column may wrap on a narrow terminal; otherwise only the last one may.
    """
    grid = Grid(box=None, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for index, name in enumerate(table.header):
        no_wrap = not wrap and index < len(table.header) - 1
        grid.add_column(Text(name), justify="right" if index else "left", overflow="fold", no_wrap=no_wrap)
    grouped = any(len(row) == 1 for row in table.rows)
    for index, row in enumerate(table.rows):
        texts = [_text(cell) for cell in row]
        if len(row) == 1:
            if index:
                grid.add_row()
            texts[0].stylize(STYLES["muted"])
        elif grouped:
            texts[0] = Text("  ") + texts[0]
        grid.add_row(*texts)
    return grid


def column_groups(table: Table, width: int) -> list[Table]:
    """Split a table of texts into tables of as many columns as fit into `width` beside the names."""
    widths = [max(map(len, map(str, column))) + 1 for column in zip(table.header, *table.rows, strict=True)]
    fitting = max(1, (width - widths[0]) // max(widths[1:]))
    return [
        Table(
            ("", *table.header[start : start + fitting]),
            tuple((row[0], *row[start : start + fitting]) for row in table.rows),
        )
        for start in range(1, len(table.header), fitting)
    ]


def print_wrapped(text: Text, console: Console, *, indent: int = 0) -> None:
    """Print a text over as many lines as it needs, without trailing spaces."""
    for line in text.wrap(console, max(console.width - indent, 10)):
        line.rstrip()
        console.print(Text(" " * indent) + line, soft_wrap=True)


def _text(cell: str | Cell) -> Text:
    return Text(cell) if isinstance(cell, str) else Text(cell.text, style=STYLES.get(cell.style, ""))
