"""Readers of files and Hub data sets, and their reports of what was read and skipped."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

from convmodel.data.formats.base import DataFileError, Format, Problem, RecordT
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.lines import DEFAULT_MAX_LINE_BYTES, check_file, read_lines

OnError = Literal["stop", "skip"]

_PROBLEMS_KEPT = 10


@dataclass
class Report(ABC):
    """Counts of one pass over a source.

    Args:
        source: the path or address.
        format: the name of the format.
        skipped: the number of lines, rows or episodes that could not be used.
        problems: the first ten reasons, each "path:line: the fault; the remedy".
    """

    source: str
    format: str
    skipped: int = 0
    problems: list[str] = field(default_factory=list)

    formats: ClassVar[FormatRegistry[Any]]
    """The formats that the reader supports."""

    @abstractmethod
    def describe_read(self) -> str:
        """Return the number of items read, in words: "3 conversations"."""

    def summary(self) -> str:
        """Return a one-line summary for the user."""
        text = f"{self.source}: {self._names.human_name}, {self.describe_read()}"
        return f"{text}; {self.describe_skipped()} skipped: first {self.problems[0]}" if self.skipped else text

    def describe_skipped(self) -> str:
        """Return the number of skipped units, in words: "3 rows"."""
        return format_count(self.skipped, self._names.unit)

    @property
    def _names(self) -> Format:
        return self.formats[self.format]


ItemT = TypeVar("ItemT")
ReportT = TypeVar("ReportT", bound=Report)


class Reader(ABC, Generic[RecordT, ItemT, ReportT]):
    """A file or a Hub data set that can be iterated any number of times, in bounded memory.

    Subclasses name the formats that they support, and convert records of these formats to items.
    """

    noun: ClassVar[str]
    """The name of an item in error messages."""

    formats: ClassVar[FormatRegistry[Any]]
    """The supported formats: a FormatRegistry[RecordT], but a class variable cannot depend on a type variable."""

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
    def _new_report(self) -> ReportT:
        """Return an empty report."""

    @abstractmethod
    def _convert(self, record: RecordT, report: ReportT) -> Iterable[tuple[int, ItemT] | Problem]:
        """Yield the items of a record with their lines, counted in the report, and a Problem for each unusable item."""

    def __iter__(self) -> Iterator[ItemT]:
        """Yield the items from the start of the source; `self.report` counts this pass."""
        return (item for _, item in self.with_line_numbers())

    def with_line_numbers(self) -> Iterator[tuple[int, ItemT]]:
        """Yield each item with the line (or row) where it begins, counted from 1."""
        report = self.report = self._new_report()
        usable = False
        for record in self._records():
            for result in (record,) if isinstance(record, Problem) else self._convert(record, report):
                if not isinstance(result, Problem):
                    usable = True
                    yield result
                    continue
                problem = f"{self.location(result.line, result.file)}: {result.message}"
                if self.on_error == "stop":
                    raise DataFileError(f"{problem}, or read with on_error='skip'")
                report.skipped += 1
                if len(report.problems) < _PROBLEMS_KEPT:
                    report.problems.append(problem)
        if not usable:
            raise DataFileError(self._empty_source_message(report))

    def location(self, line: int, file: str | None = None) -> str:
        """Return the location of a line for messages: `train.jsonl:17`, or `hub://org/name:row 17`.

        Args:
            line: the line number, counted from 1.
            file: the file of the line, if the source is a folder.
        """
        return f"{file or self.source}:{'row ' if self._is_hub else ''}{line}"

    def fingerprint(self) -> str:
        """Return a digest of the source: of a file's bytes, or of a data set's commit."""
        if self._is_hub:
            return hashlib.blake2b(self.formats.hub_fingerprint(self.source).encode(), digest_size=16).hexdigest()
        return file_digest(self.source)

    @property
    def _is_hub(self) -> bool:
        return self.format == self.formats.hub.name

    def _records(self) -> Iterator[RecordT | Problem]:
        return self.formats.read_hub(self.source) if self._is_hub else self._file_records(self.source)

    def _file_records(self, path: str) -> Iterator[RecordT | Problem]:
        """Yield the records and problems of one file."""
        check_file(path, noun=self.formats.noun)
        return self.formats.files[self.format].read(read_lines(path, max_line_bytes=self.max_line_bytes))

    def _empty_source_message(self, report: ReportT) -> str:
        if not report.skipped:
            return f"{self.source}: there are no {self.noun}s in it; check that it is the right one"
        skipped = report.describe_skipped()
        return f"{self.source}: no {self.noun} could be used, {skipped} skipped; first {report.problems[0]}"


def file_digest(path: str) -> str:
    """Return a digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def format_count(count: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "2,400 rows"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
