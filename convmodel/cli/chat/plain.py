"""Screens for pipes, and for terminals without control sequences."""

import shutil
from collections.abc import Callable
from typing import BinaryIO, TextIO

from convmodel.cli.chat.describe import status_line
from convmodel.cli.chat.screen import LineBreaker, Outcome, Screen, TextTable, to_one_line, to_printable
from convmodel.responders.protocol import Reply


class PipeScreen(Screen):
    """A pipe: each input line is a turn, each output line a reply.

    Args:
        notes: output for messages of commands and for the status; None to discard them.
    """

    interactive = False

    def __init__(self, lines: BinaryIO, *, replies: TextIO, notes: TextIO | None) -> None:
        self._lines = lines
        self._replies = replies
        self._notes = notes
        self._line_number = 0

    def read(self) -> str | None:
        raw = self._lines.readline()
        self._line_number += 1
        if not raw:
            return None
        try:
            return raw.decode("utf-8-sig" if self._line_number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.where()}: not UTF-8 (byte {error.start + 1}); save the text as UTF-8") from None

    def end(self, reply: Reply | None) -> None:
        if reply is None:
            return
        print(to_one_line(reply.text), file=self._replies, flush=True)
        self._note(status_line(reply))

    def show(self, outcome: Outcome) -> None:
        for line in plain_lines(outcome):
            self._note(line)

    def error(self, message: str) -> None:
        self._note(message)

    def where(self) -> str:
        return f"stdin:{self._line_number}"

    def _note(self, line: str) -> None:
        if self._notes is not None:
            print(line, file=self._notes, flush=True)


class PlainScreen(Screen):
    """An interactive terminal without control sequences, or a terminal whose stdout is redirected to a file.

    Args:
        out: output for replies.
        notes: output for the prompt and everything else; the same as `out` if both are the terminal.
        wrapper: creates a line breaker for a width in columns.
        quiet: whether to omit the status.
    """

    def __init__(
        self,
        lines: BinaryIO,
        *,
        out: TextIO,
        notes: TextIO,
        wrapper: Callable[[int], LineBreaker] = LineBreaker,
        quiet: bool = False,
    ) -> None:
        self._lines = lines
        self._out = out
        self._notes = notes
        self._quiet = quiet
        self._wrapper = wrapper
        self._reply = self._wrapper(0)

    def greet(self, text: str) -> None:
        self._note(to_printable(text))

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
        self._note(f"error: {to_printable(message)}")

    def _note(self, line: str) -> None:
        wrapper = self._wrapper(self._columns())
        print(wrapper.add(line) + wrapper.end(), file=self._notes, flush=True)

    def _columns(self) -> int:
        return max(20, shutil.get_terminal_size().columns - 1)


def plain_lines(outcome: Outcome, columns: int | None = None) -> list[str]:
    """Return the lines of an outcome for a screen of that width; None for no limit."""
    lines = [f"{'> ' if speaker == 'you' else ''}{to_printable(text)}" for speaker, text in outcome.shown]
    if outcome.table:
        narrow = columns is not None and columns < outcome.table.min_columns
        lines += _stacked(outcome.table, columns or 0) if narrow else _rows(outcome.table)
    return [*lines, *to_printable(outcome.text).splitlines()]


def _stacked(table: TextTable, columns: int) -> list[str]:
    """Return the lines of a table for a narrow screen."""
    lines = []
    for n, (start, text, details) in enumerate(table.stacked(columns - 2)):
        lines.append(f"{'*' if n == table.marked else ' '} {start}{to_one_line(text)}")
        lines += [f"  {to_printable(line)}" for line in details.splitlines()]
    return lines


def _rows(table: TextTable) -> list[str]:
    """Return the lines of a table with aligned columns; the last column is not padded."""
    rows = [tuple(to_one_line(cell) for cell in row) for row in (table.head, *table.rows)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(table.head) - 1)]
    marks = [" ", *("*" if n == table.marked else " " for n in range(len(table.rows)))]
    lines = ("  ".join([*(cell.ljust(size) for cell, size in zip(row, widths, strict=False)), row[-1]]) for row in rows)
    return [f"{mark} {line}".rstrip() for mark, line in zip(marks, lines, strict=True)]
