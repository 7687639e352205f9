"""The words the formats share: lines enter, records and problems leave."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

RecordT = TypeVar("RecordT")


class DataFileError(ValueError):
    """A file of conversations or documents cannot be read; the message says where, what is wrong, and what to do."""


ConversationFileError = DataFileError
"""Its name where conversations are read."""


class Line(NamedTuple):
    """One physical line of a file.

    Args:
        number: counted from 1.
        text: the line without its end. When there is a problem: what could be saved of it, by which a format
            stays in step (does an episode end here?) and which goes no further.
        problem: why the line cannot be used, with the cure, or None.
    """

    number: int
    text: str
    problem: str | None = None


class CandidateExample(NamedTuple):
    """A response with the candidates among which it is to be found, not yet checked.

    Args:
        line: where it stands, counted from 1.
        context: the turns before it.
        response: None when it is the last of the candidates.
        candidates: in the order of the file.
        complete: whether the response is to be among the candidates; if not, they are the others.
    """

    line: int
    context: Any
    response: Any
    candidates: Any
    complete: bool = True


class Record(NamedTuple):
    """What a format found, not yet checked: whoever builds the Conversation checks it.

    Args:
        line: where it begins, counted from 1.
        turns: the turns, if the file is right.
        persona: the persona's sentences, if the file is right.
        meta: whatever else was there.
        asked: its responses that came with candidates.
    """

    line: int
    turns: Any
    persona: Any = ()
    meta: Mapping[str, Any] | None = None
    asked: Sequence[CandidateExample] = ()


class Problem(NamedTuple):
    """Why something cannot be read.

    Args:
        line: where, counted from 1.
        message: "what is wrong; what to do".
        file: where the line is, if the source is a folder.
    """

    line: int
    message: str
    file: str | None = None


@dataclass(frozen=True)
class Format:
    """A format's names.

    Args:
        name: what a user writes, `format="jsonl"`.
        human_name: what a user reads, "JSON Lines".
        unit: what is lost when something is skipped: "line", "row", "episode".
    """

    name: str
    human_name: str
    unit: str


@dataclass(frozen=True)
class FileFormat(Format, Generic[RecordT]):
    """A format of text files.

    Args:
        suffixes: names of files that are taken to be of this format when their content tells nothing.
        sniff: the first lines of a file, at least one, none of them blank -> is it of this format?
        read: the lines of a file -> what is in it. After a Problem it reads on.
    """

    suffixes: tuple[str, ...]
    sniff: Callable[[Sequence[str]], bool]
    read: Callable[[Iterator[Line]], Iterator[RecordT | Problem]]


def describe_type(value: object) -> str:
    """Names a value that came where something else was wanted, for people who write JSON or Python."""
    if value is None:
        return "null (None)"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        # repr of an int of more than 4,300 digits raises, and nobody wants to read one.
        return f"the number {value!r}" if isinstance(value, float) or abs(value) < 10**20 else "a number"
    if isinstance(value, str):
        return f"the string {shorten(value)!r}"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Mapping):
        return "an object (dict)"
    return f"of type {type(value).__name__}"


def quote_names(names: Iterable[str]) -> str:
    """Names out of a file: quoted, for anything may stand in them, and ten at most."""
    first = [repr(shorten(name)) for name in islice(names, 11)]
    return ", ".join([*first[:10], "..."] if len(first) > 10 else first) or "none"


def shorten(text: str, width: int = 40) -> str:
    """The beginning of a text, for an error message of one line."""
    return text if len(text) <= width else text[: width - 3] + "..."
