"""Outcome of a slash command, for a screen to show."""

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class TextTable:
    """A table of texts.

    Args:
        head: names of the columns.
        rows: one text per column.
        marked: index of the row in effect, or None.
        min_columns: minimum width of a screen in columns; narrower screens use `stacked`.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: int | None = None
    min_columns: int = 0

    def stacked(self, columns: int) -> list[tuple[str, str, str]]:
        """Return, for each row, its first cell padded, its last cell, and lines with the named cells between them."""
        indent = " " * (2 + max((len(row[0]) for row in self.rows), default=0))
        stacked = []
        for row in self.rows:
            cells = [f"{name} {cell}" for name, cell in zip(self.head[1:-1], row[1:-1], strict=True) if cell]
            details = textwrap.fill(" · ".join(cells), columns, initial_indent=indent, subsequent_indent=indent)
            stacked.append((f"{row[0]:<{len(indent)}}", row[-1], details))
        return stacked


@dataclass(frozen=True)
class Outcome:
    """Outcome of a command.

    Args:
        text: lines for the user; may be empty.
        table: a table to show above the text.
        shown: turns to show again, with their speakers: "you" or "reply".
        reply: whether the last turn needs a reply now.
        leave: whether to end the program.
    """

    text: str = ""
    table: TextTable | None = None
    shown: tuple[tuple[str, str], ...] = ()
    reply: bool = False
    leave: bool = False
