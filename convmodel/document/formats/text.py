"""Plain text: documents with blank lines between them, or a file that is one document."""

from collections.abc import Callable, Iterator, Sequence

from convmodel.document.formats.record import DocumentRecord
from convmodel.formats.base import FileFormat, Line, Problem

MOST_CHARACTERS = 16 * 2**20
"""Of a document: what goes on for longer was hardly meant to be one, and must not fill the memory."""


def read_separated(lines: Iterator[Line]) -> Iterator[DocumentRecord | Problem]:
    """One record or problem for each run of lines that are not blank."""
    return _read(lines, ends=lambda line: not line.text.strip() and line.problem is None)


def read_whole(lines: Iterator[Line]) -> Iterator[DocumentRecord | Problem]:
    """One record or problem for all lines; none when they are all blank."""
    return _read(lines, ends=lambda line: False)


def _read(lines: Iterator[Line], *, ends: Callable[[Line], bool]) -> Iterator[DocumentRecord | Problem]:
    """One record or problem for each run of lines that `ends` does not break, blank lines at its two ends left out."""
    document = _Growing()
    for line in lines:
        if ends(line):
            yield from document.made()
            document = _Growing()
        else:
            document.take(line)
    yield from document.made()


class _Growing:
    """A document as its lines come."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._first = self._characters = 0
        self._problem: Problem | None = None

    def take(self, line: Line) -> None:
        if not self._lines and not line.text.strip() and line.problem is None:
            return  # blank lines before it
        self._first = self._first or line.number
        self._characters += len(line.text) + 1
        if line.problem is not None:
            self._problem = self._problem or Problem(line.number, line.problem)
        elif self._characters > MOST_CHARACTERS and self._problem is None:
            told = f"the document is longer than {MOST_CHARACTERS:,} characters; split it"
            self._problem = Problem(self._first, told)
        if self._problem is None:
            self._lines.append(line.text)
        else:
            self._lines.clear()

    def made(self) -> Iterator[DocumentRecord | Problem]:
        if self._problem is not None:
            yield self._problem
        elif self._lines:
            while not self._lines[-1].strip():
                self._lines.pop()
            yield DocumentRecord(self._first, "\n".join(self._lines))


def _never(first_lines: Sequence[str]) -> bool:
    """Every file could be plain text: what is, its name or the user must say."""
    return False


TEXT = FileFormat(
    name="text", human_name="plain text", unit="document", suffixes=(".txt",), sniff=_never, read=read_separated
)
FILE = FileFormat(
    name="file", human_name="one document a file", unit="document", suffixes=(), sniff=_never, read=read_whole
)
