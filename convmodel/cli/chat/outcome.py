"""What a slash command hands to a screen."""

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of texts under a head.

    Args:
        head: names of the columns.
        rows: as many texts each.
        marked: which row is the one in effect, or None.
        least: columns of a screen that it needs; on a narrower one see `stacked`.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: int | None = None
    least: int = 0

    def stacked(self, columns: int) -> list[tuple[str, str, str]]:
        """For each row the beginning of its first line, its last cell, and lines with the others and their names."""
        indent = " " * (2 + max((len(row[0]) for row in self.rows), default=0))
        found = []
        for row in self.rows:
            cells = [f"{name} {cell}" for name, cell in zip(self.head[1:-1], row[1:-1], strict=True) if cell]
            beneath = textwrap.fill(" · ".join(cells), columns, initial_indent=indent, subsequent_indent=indent)
            found.append((f"{row[0]:<{len(indent)}}", row[-1], beneath))
        return found


@dataclass(frozen=True)
class Outcome:
    """What came of a command.

    Args:
        text: lines for the person; may be empty.
        table: stands under them.
        shown: turns that are to be seen again, with who said them: "you" or "reply".
        reply: whether the last turn is now to be replied to.
        leave: whether the program is to end.
    """

    text: str = ""
    table: Table | None = None
    shown: tuple[tuple[str, str], ...] = ()
    reply: bool = False
    leave: bool = False
