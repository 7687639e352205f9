"""Documents in plain text, separated by blank lines, or one per file."""

from collections.abc import Callable, Iterator

from convmodel.data.formats.base import Problem, TextLine
from convmodel.data.formats.document_record import DocumentRecord

MAX_CHARACTERS = 16 * 2**20
"""The length limit of a plain-text document, so that the memory is bounded; a longer text is unlikely to be one."""


def read_separated(lines: Iterator[TextLine]) -> Iterator[DocumentRecord | Problem]:
    """Yield one record or problem for each run of non-blank lines."""
    return _read(lines, ends=lambda line: not line.text.strip() and line.problem is None)


def read_whole(lines: Iterator[TextLine]) -> Iterator[DocumentRecord | Problem]:
    """Yield one record or problem for the whole file; nothing for a blank file."""
    return _read(lines, ends=lambda line: False)


def _read(lines: Iterator[TextLine], *, ends: Callable[[TextLine], bool]) -> Iterator[DocumentRecord | Problem]:
    """Yield one record or problem for each run of lines between lines where `ends` is true.

    Blank lines at both ends of a run are removed.
    """
    document = _DocumentBuilder()
    for line in lines:
        if ends(line):
            yield from document.finish()
            document = _DocumentBuilder()
        else:
            document.add(line)
    yield from document.finish()


class _DocumentBuilder:
    """Builder of a document from its lines."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._first = 0
        self._characters = 0
        self._problem: Problem | None = None

    def add(self, line: TextLine) -> None:
        if not self._lines and not line.text.strip() and line.problem is None:
            return  # blank lines before the document
        self._first = self._first or line.number
        self._characters += len(line.text) + 1
        if line.problem is not None:
            self._problem = self._problem or Problem(line.number, line.problem)
        elif self._characters > MAX_CHARACTERS and self._problem is None:
            message = f"the document is longer than {MAX_CHARACTERS:,} characters; split it"
            self._problem = Problem(self._first, message)
        if self._problem is None:
            self._lines.append(line.text)
        else:
            self._lines.clear()

    def finish(self) -> Iterator[DocumentRecord | Problem]:
        if self._problem is not None:
            yield self._problem
        elif self._lines:
            while not self._lines[-1].strip():
                self._lines.pop()
            yield DocumentRecord(self._first, "\n".join(self._lines))
