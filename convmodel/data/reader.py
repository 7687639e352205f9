"""Readers of files and Hub data sets, and their reports of what was read and skipped."""

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar, Generic, TypeVar, Unpack, cast

from convmodel.data.chat_format import ChatFormat
from convmodel.data.containers import InputFile
from convmodel.data.data_file import DataFile, Notes
from convmodel.data.formats.base import DataFileError, Format, GroupFormat, Problem, RecordT
from convmodel.data.formats.hub import SCHEME, hub_fingerprint
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.inputs import Input, InputFinder
from convmodel.data.options import CHAT_OPTIONS, OnError, OptionValues, ReadOptions, name_option
from convmodel.data.remote import is_remote, remote_digest
from convmodel.data.sources import Source, list_sources, source_name

__all__ = ["OnError", "Reader", "Report", "Source", "file_digest", "format_count", "source_name"]

FILE_STEP = 2**40  # added to the line numbers of each further file of a source
_PROBLEMS_KEPT = 10


@dataclass
class Report(ABC):
    """Counts of one pass over a source.

    Args:
        source: the path or address.
        format: the name of the format.
        skipped: the number of lines, rows or episodes that could not be used.
        problems: the first ten reasons, each "path:line: the fault; the remedy".
        notes: the recognised properties of the files, and the numbers of messages that were left out on purpose.
    """

    source: str
    format: str
    skipped: int = 0
    problems: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)

    formats: ClassVar[FormatRegistry[Any]]
    """The formats that the reader supports."""

    @abstractmethod
    def describe_read(self) -> str:
        """Return the number of items read, in words: "3 conversations"."""

    @property
    def skipped_messages(self) -> Counter[str]:
        """The number of messages that were left out on purpose, by their kind."""
        return self.notes.left_out

    def summary(self) -> str:
        """Return a one-line summary for the user."""
        recognised = f" ({', '.join(self.notes.recognised)})" if self.notes.recognised else ""
        text = f"{self.source}: {self._names.human_name}{recognised}, {self.describe_read()}"
        text += f"; {self.describe_left_out()} left out" if self.describe_left_out() else ""
        if others := self.notes.other_files:
            text += f"; {format_count(len(others), 'other file')} left out: first {others[0].partition('; ')[0]}"
        return f"{text}; {self.describe_skipped()} skipped: first {self.problems[0]}" if self.skipped else text

    def describe_left_out(self) -> str:
        """Return the numbers of messages left out on purpose, in words: "2 media messages"; empty if there are none."""
        return ", ".join(format_count(count, kind) for kind, count in sorted(self.notes.left_out.items()) if count)

    def describe_skipped(self) -> str:
        """Return the number of skipped units, in words: "3 rows"."""
        return format_count(self.skipped, self._names.unit)

    @property
    def _names(self) -> Format:
        return self.formats[self.format]


ItemT = TypeVar("ItemT")
ReportT = TypeVar("ReportT", bound=Report)


class Reader(ABC, Generic[RecordT, ItemT, ReportT]):
    """Base class of readers: iterables over the items of files or Hub data sets, which may be iterated several times.

    Files of any size are read in bounded memory. The type variables stand for the record (an item as parsed by a
    format), the item, and the report.
    """

    noun: ClassVar[str]
    """The name of an item in error messages."""

    formats: ClassVar[FormatRegistry[Any]]
    """The supported formats: a FormatRegistry[RecordT], but a class variable cannot depend on a type variable."""

    report_class: ClassVar[type[Report]]

    unused_options: ClassVar[tuple[str, ...]] = ()
    """Options that do not apply to these items; a reader raises ValueError if any of them is given."""

    def __init__(self, source: Source, options: ReadOptions | None = None, **values: Unpack[OptionValues]) -> None:
        self.options = (options or ReadOptions()).combine(values)
        self.formats.check_name(self.options.format)
        self._sources = list_sources(source)
        self.source = source_name(source)
        self._finder = InputFinder(self._sources, self.options, self._recognise)
        self._places: dict[str, int] = {}
        inputs = self._inputs
        if not inputs:
            raise ValueError("no file is given; give the path of one")
        self._check_options(inputs)
        self.format = inputs[0].format
        self.report = self._new_report()

    def _check_options(self, inputs: Sequence[Input]) -> None:
        """Raise ValueError for an option that would be ignored."""
        given = self.options.content_key()
        for name in self.unused_options:
            if name in given:
                raise ValueError(f"{name_option(name, given[name])}: does not apply to {self.noun}s; leave it out")
        option = next((name for name in CHAT_OPTIONS if given.get(name)), None)
        if option and not any(isinstance(self.formats.files.get(each.format), ChatFormat) for each in inputs):
            fault = f"is {self.formats[inputs[0].format].human_name}, not a chat export"
            unused = f"{name_option(option)} does not apply to it: leave it out"
            raise ValueError(f"{inputs[0].name}: {fault}; {unused}")

    @property
    def _inputs(self) -> list[Input]:
        """The files and data sets of the sources that exist now."""
        return self._finder.find(self.formats)

    def _recognise(self, file: InputFile, source: str) -> str:
        """Return the name of the format of a file of a source."""
        return self.formats.recognise(file, self.options)

    def _new_report(self) -> ReportT:
        return cast(ReportT, self.report_class(self.source, self.format))

    def _items(self, record: Any, report: ReportT) -> Iterable[tuple[int, ItemT] | Problem]:
        """Return the items of a record with their lines, and a Problem for each unusable item."""
        try:
            return ((record.line, self._convert(record, report)),)
        except (TypeError, ValueError) as error:
            return (Problem(record.line, str(error), getattr(record, "file", None)),)

    @abstractmethod
    def _convert(self, record: RecordT, report: ReportT) -> ItemT:
        """Return the item of a record, and count it in the report.

        Raises:
            TypeError, ValueError: when the record is unusable.
        """

    def __iter__(self) -> Iterator[ItemT]:
        """Yield the items from the start of the source; `self.report` counts this pass."""
        return (item for _, item in self.with_line_numbers())

    def with_line_numbers(self) -> Iterator[tuple[int, ItemT]]:
        """Yield each item with the line (or row) where it begins, counted from 1.

        In a source of several files, the number also encodes the file; `location` decodes both.
        """
        report = self.report = self._new_report()
        usable = False
        for name, record in self._records(report.notes):
            for result in (record,) if isinstance(record, Problem) else self._items(record, report):
                if isinstance(result, Problem):
                    self._add_problem(report, result, name)
                else:
                    usable = True
                    file = getattr(record, "file", None) or name
                    yield result[0] + self._places.setdefault(file, len(self._places) * FILE_STEP), result[1]
        if not usable:
            raise DataFileError(self._empty_source_message(report))

    def _add_problem(self, report: ReportT, problem: Problem, name: str) -> None:
        text = f"{self.location(problem.line, problem.file or name)}: {problem.message}"
        if not self.options.skips:
            raise DataFileError(f"{text}, or read with {name_option('on_error', 'skip')}")
        report.skipped += 1
        if len(report.problems) < _PROBLEMS_KEPT:
            report.problems.append(text)

    def location(self, line: int, file: str | None = None) -> str:
        """Return a location for messages: "train.jsonl:17", or "hub://org/name:row 17".

        Args:
            line: a number that `with_line_numbers` yielded, or the number of a line in `file`.
            file: the name of the file; None if `line` encodes it.
        """
        number, line = divmod(line, FILE_STEP)
        place = file or [*self._places, self.source][number]
        return f"{place}:{'row ' if place.startswith(SCHEME) else ''}{line}"

    def fingerprint(self) -> str:
        """Return a digest of the source: of the files' bytes, or of a data set's commit, and of the reading options."""
        key = self.options.content_key()
        digests = list(map(self._digest, self._inputs))
        return digests[0] if len(digests) == 1 and not key else text_digest(repr([key, digests]))

    def _digest(self, each: Input) -> str:
        if each.file is None:
            return text_digest(hub_fingerprint(each.name, self.formats.hub))
        return file_digest(each.file.path) if each.file.member is None else f"{file_digest(each.file.path)}/{each.name}"

    def _records(self, notes: Notes) -> Iterator[tuple[str, RecordT | Problem]]:
        """Yield the records and problems of all files, each with the name of its file."""
        every = self._inputs
        notes.files = len(every)
        notes.other_files = list(self._finder.others)
        for format, group in groupby(every, key=itemgetter(0)):
            inputs = list(group)
            if format != self.format:
                notes.add(f"and {self.formats[format].human_name}")
            reads = self.formats.files.get(format)
            if isinstance(reads, GroupFormat):
                files = [self._data_file(each.file, notes) for each in inputs if each.file is not None]
                together: Iterator[Any] = reads.read_files(files)
                yield from ((inputs[0].name, record) for record in together)
                continue
            for each in inputs:
                if reads is None or each.file is None:
                    records = self.formats.read_hub(each.name, self.options)
                else:
                    records = reads.read(self._data_file(each.file, notes))
                yield from ((each.name, record) for record in records)

    def _data_file(self, file: InputFile, notes: Notes) -> DataFile:
        return DataFile(file, self.options, self.formats.noun, notes)

    def _empty_source_message(self, report: ReportT) -> str:
        if not report.skipped:
            if report.describe_left_out():
                me = "" if self.options.me is None else f"; {self.options.me} must reply to somebody"
                return f"{self.source}: no {self.noun} could be made of it: {report.describe_left_out()} left out{me}"
            return f"{self.source}: there are no {self.noun}s in it; check that it is the right one"
        unused = f"no {self.noun} could be used, {report.describe_skipped()} skipped"
        return f"{self.source}: {unused}; first {report.problems[0]}"


def text_digest(text: str) -> str:
    """Return a digest of a text."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def file_digest(path: str) -> str:
    """Return a digest of a file's bytes; for a remote file, of the properties that identify its content."""
    if is_remote(path):
        return remote_digest(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def format_count(count: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "2,400 rows"."""
    singular, of, whole = noun.partition(" of ")
    return f"{count:,} {singular if count == 1 else plural_of(singular)}{of}{whole}"


def plural_of(noun: str) -> str:
    """Return the plural of a noun: "rows", "replies"."""
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
