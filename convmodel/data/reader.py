"""A path or address in; what a reader makes of the records in it out, and a report of what could not be used."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

from convmodel.data.formats.base import DataFileError, Format, Problem, RecordT
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.lines import DEFAULT_MAX_LINE_BYTES, check_is_file, read_lines

OnError = Literal["stop", "skip"]

_PROBLEMS_KEPT = 10


@dataclass
class Report(ABC):
    """What one reading of a source came to, so far.

    Args:
        source: path or address.
        format: name of the format.
        skipped: how many lines, rows or episodes could not be used.
        problems: the first ten of the reasons, each "path:line: what is wrong; what to do".
    """

    source: str
    format: str
    skipped: int = 0
    problems: list[str] = field(default_factory=list)

    formats: ClassVar[FormatRegistry[Any]]
    """What the reader knows."""

    @abstractmethod
    def found(self) -> str:
        """What was read, in words."""

    def summary(self) -> str:
        """One sentence for a person."""
        text = f"{self.source}: {self._names.human_name}, {self.found()}"
        return f"{text}; {self.lost()} skipped: first {self.problems[0]}" if self.skipped else text

    def lost(self) -> str:
        """What could not be used, in words: "3 rows"."""
        return count(self.skipped, self._names.unit)

    @property
    def _names(self) -> Format:
        return self.formats[self.format]


Made = TypeVar("Made")
Told = TypeVar("Told", bound=Report)


class Reader(ABC, Generic[RecordT, Made, Told]):
    """Reads a file or a Hub data set, as often as wanted, in bounded memory.

    Its kinds say which formats they know, what a record is in them, and what becomes of one.
    """

    noun: ClassVar[str]
    """What is looked for, as errors call it."""

    formats: ClassVar[FormatRegistry[Any]]
    """What can be read; Formats[RecordT], which a class variable cannot say."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        format: str | None = None,
        on_error: OnError = "stop",
        max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
    ) -> None:
        self.source = os.fspath(source)
        if on_error not in get_args(OnError):
            raise ValueError(f"on_error={on_error!r}: allowed are 'stop' and 'skip'")
        if max_line_bytes < 1:
            raise ValueError(f"max_line_bytes={max_line_bytes}: give the longest allowed line in bytes")
        self.on_error = on_error
        self.max_line_bytes = max_line_bytes
        self.format = self.formats.find(self.source, format)
        self.report = self._new_report()

    @abstractmethod
    def _new_report(self) -> Told:
        """A report in which nothing is counted yet."""

    @abstractmethod
    def _make(self, record: RecordT, report: Told) -> Iterable[tuple[int, Made] | Problem]:
        """What a record holds, each with its line, counted in the report; and what of it cannot be used."""

    def __iter__(self) -> Iterator[Made]:
        """Streams what there is from the start; `self.report` then counts this iteration."""
        return (made for _, made in self.numbered())

    def numbered(self) -> Iterator[tuple[int, Made]]:
        """As iterating, with the line (or row) where each begins, counted from 1."""
        report = self.report = self._new_report()
        usable = False
        for item in self._items():
            for made in (item,) if isinstance(item, Problem) else self._make(item, report):
                if not isinstance(made, Problem):
                    usable = True
                    yield made
                    continue
                problem = f"{self.place(made.line, made.file)}: {made.message}"
                if self.on_error == "stop":
                    raise DataFileError(f"{problem}, or read with on_error='skip'")
                report.skipped += 1
                if len(report.problems) < _PROBLEMS_KEPT:
                    report.problems.append(problem)
        if not usable:
            raise DataFileError(self._nothing(report))

    def place(self, line: int, file: str | None = None) -> str:
        """How a line is named to a person: `train.jsonl:17`, or `hub://org/name:row 17`.

        Args:
            line: counted from 1.
            file: where it is, if the source is a folder.
        """
        return f"{file or self.source}:{'row ' if self._is_hub else ''}{line}"

    def fingerprint(self) -> str:
        """A digest of what is read: of a file's bytes, or of a data set's commit. It changes when they change."""
        if self._is_hub:
            return hashlib.blake2b(self.formats.hub_fingerprint(self.source).encode(), digest_size=16).hexdigest()
        return digest_of(self.source)

    @property
    def _is_hub(self) -> bool:
        return self.format == self.formats.hub.name

    def _items(self) -> Iterator[RecordT | Problem]:
        return self.formats.read_hub(self.source) if self._is_hub else self._items_of(self.source)

    def _items_of(self, path: str) -> Iterator[RecordT | Problem]:
        """What is in a file."""
        check_is_file(path, noun=self.formats.noun)
        return self.formats.files[self.format].read(read_lines(path, max_line_bytes=self.max_line_bytes))

    def _nothing(self, report: Told) -> str:
        if not report.skipped:
            return f"{self.source}: there are no {self.noun}s in it; check that it is the right one"
        return f"{self.source}: no {self.noun} could be used, {report.lost()} skipped; first {report.problems[0]}"


def digest_of(path: str) -> str:
    """A digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 row", "2,400 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
