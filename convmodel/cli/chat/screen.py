"""Printable texts, outcomes of commands, and the interface of all screens."""

import re
import textwrap
from dataclasses import dataclass
from typing import Protocol

from convmodel.responders.protocol import Reply

_VISIBLE = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) != "\n"}
_VISIBLE |= {code: f"<{code:02X}>" for code in range(0x80, 0xA0)}
_VISIBLE |= {code: f"<{code:04X}>" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_VISIBLE |= {ord("\t"): "    ", ord("\r"): "", 0x7F: "\u2421", 0x2028: "\n", 0x2029: "\n", 0xFEFF: ""}
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_printable(text: str) -> str:
    """Replace control characters by visible ones, so that no text can control the terminal.

    ESC becomes ␛, C1 controls and bidirectional marks become their code. Newlines stay, tabs become spaces, carriage
    returns are removed.
    """
    return _SURROGATE.sub("\ufffd", text.translate(_VISIBLE))


def to_one_line(text: str) -> str:
    """Return a printable text with every run of white space replaced by one space."""
    return " ".join(to_printable(text).split())


class LineBreaker:
    """Makes a streamed text printable and leaves line breaks to the terminal; subclasses break it into lines."""

    def __init__(self, columns: int) -> None:
        self._columns = max(2, columns)

    def add(self, piece: str) -> str:
        """Add a piece and return the text that can be written now."""
        return to_printable(piece)

    def end(self) -> str:
        """Return the rest of the text, without spaces at its end."""
        return ""


@dataclass(frozen=True)
class TextTable:
    """A table of texts.

    Args:
        head: names of the columns.
        marked: index of the row to mark, such as the current reply; None to mark no row.
        min_columns: minimum width of a screen in columns; narrower screens use `stacked`.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: int | None = None
    min_columns: int = 0

    def stacked(self, columns: int) -> list[tuple[str, str, str]]:
        """Return, for each row, the padded first cell, the last cell, and the other cells with their column names."""
        indent = " " * (2 + max((len(row[0]) for row in self.rows), default=0))
        stacked = []
        for row in self.rows:
            cells = [f"{name} {cell}" for name, cell in zip(self.head[1:-1], row[1:-1], strict=True) if cell]
            details = textwrap.fill(" · ".join(cells), columns, initial_indent=indent, subsequent_indent=indent)
            stacked.append((f"{row[0]:<{len(indent)}}", row[-1], details))
        return stacked


@dataclass(frozen=True)
class Outcome:
    """Outcome of a slash command.

    Args:
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


class Screen(Protocol):
    """Input and output of the chat. Texts may contain control characters, which a screen must make visible."""

    interactive: bool = True
    """Whether a person uses the screen: errors do not end the program, and Ctrl-C only stops a reply."""

    def read(self) -> str | None:
        """Return the next line, or several lines sent as one turn; None at the end of the input."""

    def end(self, reply: Reply | None) -> None:
        """Finish the reply; `reply` is None if it failed."""

    def show(self, outcome: Outcome) -> None:
        """Show the outcome of a command."""

    def error(self, message: str) -> None:
        """Show an error message."""

    def greet(self, text: str) -> None:
        """Show a line at the start."""
        return

    def begin(self) -> None:
        """Prepare for a reply."""
        return

    def wait(self) -> None:
        """Show that the reply takes a while."""
        return

    def piece(self, text: str) -> None:
        """Show a piece of the reply."""
        return

    def where(self) -> str:
        """Return the position of the last input line, for the message of an error that ends the program."""
        return "the terminal"
