"""What a slash command hands to a screen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of texts under a head.

    Args:
        head: names of the columns.
        rows: as many texts each.
        marked: which row is the one in effect, or None.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: int | None = None


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
