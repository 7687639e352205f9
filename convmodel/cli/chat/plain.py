"""Lines of bytes in, lines of text out: for pipes, and for terminals that can only write."""

import shutil
from collections.abc import Callable
from typing import BinaryIO, Protocol, TextIO

from convmodel.cli.chat.outcome import Outcome, Table
from convmodel.cli.chat.status import status_line
from convmodel.cli.chat.text import one_line, printable
from convmodel.responders.protocol import Reply


class Breaking(Protocol):
    """Breaks a text that comes in pieces into lines."""

    def add(self, piece: str) -> str:
        """What can be written now."""

    def end(self) -> str:
        """What is still to be written."""


class PipeScreen:
    """Each line is a turn, each reply a line; everything else goes elsewhere.

    Args:
        lines: UTF-8.
        replies: one line each, and nothing but them.
        notes: for what commands say and for the status; None for nothing.
    """

    interactive = False

    def __init__(self, lines: BinaryIO, *, replies: TextIO, notes: TextIO | None) -> None:
        self._lines, self._replies, self._notes = lines, replies, notes
        self._number = 0

    def greet(self, text: str) -> None:
        pass

    def read(self) -> str | None:
        raw = self._lines.readline()
        self._number += 1
        if not raw:
            return None
        try:
            return raw.decode("utf-8-sig" if self._number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.where()}: not UTF-8 (byte {error.start + 1}); save the text as UTF-8") from None

    def begin(self) -> None:
        pass

    def wait(self) -> None:
        pass

    def piece(self, text: str) -> None:
        pass

    def end(self, reply: Reply | None) -> None:
        if reply is None:
            return
        print(one_line(reply.text), file=self._replies, flush=True)
        self._note(status_line(reply))

    def show(self, outcome: Outcome) -> None:
        for line in plain_lines(outcome):
            self._note(line)

    def error(self, message: str) -> None:
        self._note(message)

    def where(self) -> str:
        return f"stdin:{self._number}"

    def _note(self, line: str) -> None:
        if self._notes is not None:
            print(line, file=self._notes, flush=True)


class PlainScreen:
    """A person at a terminal of which nothing is known but that it shows text, or whose replies go into a file.

    Args:
        lines: what is typed, UTF-8.
        out: for replies.
        notes: for the prompt and everything else; the same as `out` where both are the terminal.
        wrapper: makes what breaks a reply into lines of so many columns; None leaves that to the terminal.
        quiet: no status.
    """

    interactive = True

    def __init__(
        self,
        lines: BinaryIO,
        *,
        out: TextIO,
        notes: TextIO,
        wrapper: Callable[[int], Breaking] | None = None,
        quiet: bool = False,
    ) -> None:
        self._lines, self._out, self._notes, self._quiet = lines, out, notes, quiet
        self._wrapper = wrapper or _Unbroken
        self._reply = self._wrapper(0)

    def greet(self, text: str) -> None:
        self._note(printable(text))

    def read(self) -> str | None:
        typed: list[str] = []
        while True:
            print("> " if not typed else ". ", end="", file=self._notes, flush=True)
            try:
                raw = self._lines.readline()
            except KeyboardInterrupt:
                print("\n(Ctrl-D or /quit leaves)", file=self._notes, flush=True)
                typed = []
                continue
            if not raw:
                print(file=self._notes, flush=True)
                return "\n".join(typed) or None
            line = raw.decode(errors="replace").rstrip("\r\n")
            if not line.endswith("\\"):
                return "\n".join([*typed, line])
            typed.append(line[:-1])

    def begin(self) -> None:
        self._reply = self._wrapper(self._columns())

    def wait(self) -> None:
        pass

    def piece(self, text: str) -> None:
        print(self._reply.add(text), end="", file=self._out, flush=True)

    def end(self, reply: Reply | None) -> None:
        print(self._reply.end(), file=self._out, flush=True)
        if reply is None:
            return
        if reply.finish == "cancelled":
            self._note("[stopped]")
        if not self._quiet:
            self._note(f"[{status_line(reply, self._columns() - 2)}]")

    def show(self, outcome: Outcome) -> None:
        for line in plain_lines(outcome, self._columns()):
            self._note(line)

    def error(self, message: str) -> None:
        self._note(f"error: {printable(message)}")

    def where(self) -> str:
        return "the terminal"

    def _note(self, line: str) -> None:
        wrapper = self._wrapper(self._columns())
        print(wrapper.add(line) + wrapper.end(), file=self._notes, flush=True)

    def _columns(self) -> int:
        return max(20, shutil.get_terminal_size().columns - 1)


class _Unbroken:
    """Breaks nothing."""

    def __init__(self, columns: int) -> None:
        pass

    def add(self, piece: str) -> str:
        return printable(piece)

    def end(self) -> str:
        return ""


def plain_lines(outcome: Outcome, columns: int | None = None) -> list[str]:
    """An outcome as lines of text.

    Args:
        columns: of the screen; None where lines may have any length.
    """
    lines = [f"{'> ' if who == 'you' else ''}{printable(text)}" for who, text in outcome.shown]
    if outcome.table:
        narrow = columns is not None and columns < outcome.table.least
        lines += _stacked(outcome.table, columns or 0) if narrow else _rows(outcome.table)
    return [*lines, *printable(outcome.text).splitlines()]


def _stacked(table: Table, columns: int) -> list[str]:
    """Each row in lines one below the other."""
    lines = []
    for n, (start, text, beneath) in enumerate(table.stacked(columns - 2)):
        lines.append(f"{'*' if n == table.marked else ' '} {start}{one_line(text)}")
        lines += [f"  {printable(line)}" for line in beneath.splitlines()]
    return lines


def _rows(table: Table) -> list[str]:
    """Columns side by side; the last one as long as it is."""
    rows = [tuple(one_line(cell) for cell in row) for row in (table.head, *table.rows)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(table.head) - 1)]
    marks = [" ", *("*" if n == table.marked else " " for n in range(len(table.rows)))]
    lines = ("  ".join([*(cell.ljust(size) for cell, size in zip(row, widths, strict=False)), row[-1]]) for row in rows)
    return [f"{mark} {line}".rstrip() for mark, line in zip(marks, lines, strict=True)]
