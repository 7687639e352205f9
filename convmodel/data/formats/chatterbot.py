"""ChatterBot's corpus in YAML: `conversations:` with a list of lists of turns, and `categories:`.

Source: github.com/gunthercox/chatterbot-corpus (2016 to 2024). Turns are taken as written: `Yes`, `42` and `null` are
texts. The file is read event by event, without aliases and tags.
"""

from collections.abc import Iterator
from typing import Any

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, FileFormat, Problem, Record
from convmodel.data.options import name_option
from convmodel.errors import install_command

_KEY = "conversations"
_INDENTED = ("- - ", "- -", "-")


def score(head: Head) -> Certainty:
    """Return SURE if there is a key `conversations` with a list of lists below it, and NONE otherwise."""
    lines = [line.rstrip() for line in head.lines]
    keys = [position for position, line in enumerate(lines[:-1]) if line == f"{_KEY}:"]
    return Certainty.SURE if any(lines[at + 1].lstrip().startswith(_INDENTED) for at in keys) else Certainty.NONE


def find_fault(head: Head) -> str | None:
    """Return an error message if the key `conversations` is missing, and None otherwise."""
    return None if any(line.startswith(f"{_KEY}:") for line in head.lines) else f"there is no key {_KEY!r}"


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield one record or problem per conversation. Reading ends at text that is not YAML.

    Raises:
        ImportError: when the library `PyYAML` is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise ImportError(f"{file.name}: YAML needs the library PyYAML; {install_command('train')}") from None
    text = _Text(file)
    try:
        yield from _Corpus(text).read(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        fault = getattr(error, "problem", None) or "a character is not allowed"
        line = text.line if mark is None else mark.line + 1
        yield Problem(line, f"not YAML: {fault}; repair it, or put the turn in quotes")
    except _TextError as error:
        yield Problem(text.line, str(error))


class _TextError(Exception):
    """The text of a file cannot be read further."""


class _Text:
    """A file object from which the YAML parser reads the text of a file in pieces.

    Args:
        file: the file.
    """

    def __init__(self, file: DataFile) -> None:
        self._lines = file.lines()
        self._limit = file.options.line_limit
        self._held = 0
        self.line = 1

    def release(self) -> None:
        """Reset the count of the characters that the parser holds; call it after each event."""
        self._held = 0

    def read(self, size: int = 4096, /) -> str:
        """Return a piece of text, of whole lines; "" at the end.

        Args:
            size: the number of characters after which no further line is added.

        Raises:
            _TextError: when a line is unreadable, or a value is longer than the limit.
        """
        piece: list[str] = []
        taken = 0
        while taken < size and (line := next(self._lines, None)) is not None:
            self.line = line.number
            if line.problem is not None:
                raise _TextError(line.problem)
            piece.append(line.text + "\n")
            taken += len(line.text) + 1
        self._held += taken
        if self._held > 2 * self._limit + size:
            raise _TextError(f"a value is longer than {name_option('max_line_bytes', self._limit)}; split it")
        return "".join(piece)


class _Corpus:
    """Converter of the events of the YAML parser to conversations.

    Args:
        text: the text from which the parser reads.
    """

    def __init__(self, text: _Text) -> None:
        self._text = text
        self._path: list[str] = []
        self._key: str | None = None
        self._turns: list[str] = []
        self._line = 1
        self._categories: list[str] = []
        self._fault = ""

    def read(self, events: Iterator[Any]) -> Iterator[Record | Problem]:
        """Yield the conversations of the parser's events."""
        for event in events:
            self._text.release()
            kind = type(event).__name__
            if kind in ("SequenceStartEvent", "MappingStartEvent"):
                self._begin(kind, event.start_mark.line + 1)
            elif kind in ("SequenceEndEvent", "MappingEndEvent"):
                yield from self._end()
            elif kind == "ScalarEvent":
                yield from self._add(event.value, event.start_mark.line + 1)
            elif kind == "AliasEvent":
                self._fault = "a turn is an alias (*name); write its text"

    def _begin(self, kind: str, line: int) -> None:
        self._path.append(kind[0])
        if len(self._path) == 3 and self._key == _KEY:
            self._line = line
            self._turns = []
            self._fault = ""
        elif len(self._path) > 3:
            self._fault = "a turn is a list or a mapping; put it in quotes"

    def _end(self) -> Iterator[Record | Problem]:
        self._path.pop()
        if len(self._path) == 2 and self._key == _KEY:
            meta = {"categories": list(self._categories)} if self._categories else None
            yield Problem(self._line, self._fault) if self._fault else Record(self._line, self._turns, (), meta)
        elif len(self._path) == 1:
            self._key = None

    def _add(self, value: str, line: int) -> Iterator[Problem]:
        if self._path == ["M"]:
            self._key = value if self._key is None else None
        elif len(self._path) == 2 and self._key == "categories":
            self._categories.append(value)
        elif len(self._path) == 3 and self._key == _KEY:
            self._turns.append(value.strip())
        elif len(self._path) == 2 and self._key == _KEY:
            yield Problem(line, "a conversation is one text, not a list of turns; begin its first turn with '- - '")


CHATTERBOT = FileFormat("chatterbot", "ChatterBot YAML", "conversation", (".yml", ".yaml"), score, read, find_fault)
