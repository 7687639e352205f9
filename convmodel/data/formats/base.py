"""Types shared by all formats: lines, records, problems, the format descriptions, and helpers for error messages."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from convmodel.data.data_file import DataFile, Head

RecordT = TypeVar("RecordT")


class DataFileError(ValueError):
    """A file of conversations or documents cannot be read; the message gives the location, the fault and a remedy."""


class ForeignFileError(DataFileError):
    """A file has no format that the reader supports. In a folder or an archive, such a file is skipped."""


ConversationFileError = DataFileError
"""An alias of `DataFileError`, which readers of conversations raise."""


class TextLine(NamedTuple):
    """One physical line of a file.

    Args:
        number: the line number, counted from 1.
        text: the line without its end. If the line has a problem, this is its readable part, which formats use only to
            follow the structure of the file (whether an episode ends here).
        problem: the reason why the line cannot be used, with a remedy; or None.
    """

    number: int
    text: str
    problem: str | None = None


class Item(NamedTuple):
    """A JSON value or a row of a table.

    Args:
        number: the number of its first line, or of the row, counted from 1.
        value: the value; a row is a dict of values by column name.
        problem: the reason why it cannot be used, with a remedy; or None.
        path: the keys and positions that lead to a JSON value in its file.
    """

    number: int
    value: Any
    problem: str | None = None
    path: tuple[str | int, ...] = ()


class CandidateExample(NamedTuple):
    """A response and its candidates as parsed by a format, not yet validated.

    Args:
        line: the line number of the response, counted from 1.
        context: the turns before the response.
        response: the response; None if it is the last candidate.
        candidates: the candidates in the order of the file.
        complete: whether the candidates include the response; otherwise they are the distractors.
    """

    line: int
    context: Any
    response: Any
    candidates: Any
    complete: bool = True


class Record(NamedTuple):
    """A conversation as parsed by a format; it is validated when the Conversation is created.

    Args:
        line: the number of its first line, counted from 1.
        turns: the turns; a value of any type if the file is invalid.
        persona: the persona sentences; a value of any type if the file is invalid.
        meta: other fields.
        selections: the responses that have candidates.
        file: the name of the file of the line, if the format reads several files as one.
        speakers: the name of the speaker of each turn; None if the file has no names.
        names: the name of the speaker of each turn, for formats in which names are used only with the option
            `keep_speakers`; None for other formats.
    """

    line: int
    turns: Any
    persona: Any = ()
    meta: Mapping[str, Any] | None = None
    selections: Sequence[CandidateExample] = ()
    file: str | None = None
    speakers: Sequence[str] | None = None
    names: Sequence[str] | None = None


class Problem(NamedTuple):
    """The reason why a line or record cannot be read.

    Args:
        line: the line number, counted from 1.
        message: "the fault; the remedy".
        file: the name of the file of the line, if the format reads several files as one.
    """

    line: int
    message: str
    file: str | None = None


@dataclass(frozen=True)
class Format:
    """The names of a format.

    Args:
        name: the value of the `format` option: "jsonl".
        human_name: the name in messages: "JSON Lines".
        unit: the unit that is lost when a problem is skipped: "line", "row", "episode".
    """

    name: str
    human_name: str
    unit: str


class Certainty(IntEnum):
    """The degree to which a file looks like a format."""

    NONE = 0
    NAME = 1
    """Only the suffix of the file name matches the format."""
    WEAK = 2
    """The beginning of the file resembles the format, but cannot be read as such."""
    LIKELY = 3
    """The beginning of the file can be read as the format."""
    SURE = 4
    """The beginning of the file has names or marks of this format that files of other formats do not have."""


@dataclass(frozen=True)
class FileFormat(Format, Generic[RecordT]):
    """A format of files.

    Args:
        suffixes: the file name suffixes that select this format when the content matches no format.
        score: a function from the beginning of a file, which is not blank, to the certainty that it has this format.
        read: a function from a file to its records. After yielding a Problem it continues.
        find_fault: a function from the beginning of a file of this format to the reason why the file holds no record,
            or None. In folders and archives, a file with such a reason is skipped.
    """

    suffixes: tuple[str, ...]
    score: Callable[["Head"], Certainty]
    read: Callable[["DataFile"], Iterator[RecordT | Problem]]
    find_fault: Callable[["Head"], str | None] | None = None


class GroupFormat(FileFormat[RecordT]):
    """A format whose files belong together: all files of a source that have this format are read as one."""

    def read_files(self, files: Sequence["DataFile"]) -> Iterator[RecordT | Problem]:
        """Yield the records and problems of the files, each with the name of its file."""
        raise NotImplementedError


def from_lines(
    read: Callable[[Iterator[TextLine]], Iterator[RecordT | Problem]],
) -> Callable[["DataFile"], Iterator[RecordT | Problem]]:
    """Return the `read` function of a format that needs only the lines of a file."""
    return lambda file: read(file.lines())


def describe_type(value: object) -> str:
    """Return a description of a value of the wrong type, in the terms of both JSON and Python."""
    if value is None:
        return "null (None)"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        # repr of an int of more than 4,300 digits raises, and is too long for a message.
        return f"the number {value!r}" if isinstance(value, float) or abs(value) < 10**20 else "a number"
    if isinstance(value, str):
        return f"the string {shorten(value)!r}"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Mapping):
        return "an object (dict)"
    return f"of type {type(value).__name__}"


def quote_names(names: Iterable[str]) -> str:
    """Return at most ten names from a file for an error message, quoted because they may contain any character."""
    first = [repr(shorten(name)) for name in islice(names, 11)]
    return ", ".join([*first[:10], "..."] if len(first) > 10 else first) or "none"


def shorten(text: str, width: int = 40) -> str:
    """Return a text cut to `width` characters, for an error message."""
    return text if len(text) <= width else text[: width - 3] + "..."
