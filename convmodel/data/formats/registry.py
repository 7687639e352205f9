"""Recognising the format of a file among the formats that a reader supports."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from convmodel.data.containers import InputFile
from convmodel.data.data_file import Head
from convmodel.data.foreign_files import find_foreign_kind, find_wide_encoding
from convmodel.data.formats.base import (
    Certainty,
    DataFileError,
    FileFormat,
    ForeignFileError,
    Format,
    Problem,
    RecordT,
    shorten,
)
from convmodel.data.formats.hub import SCHEME, HubFormat, parse_address, read_hub
from convmodel.data.json_file import LFS_FAULT, LFS_POINTER
from convmodel.data.options import CHAT_OPTIONS, ReadOptions, name_option
from convmodel.data.sources import SourceFiles, list_files

_MARKUP = re.compile(r"\s*<(?:!doctype html|html|head|meta|(\?xml))\b", re.IGNORECASE)
_TELL = "from which conversations cannot be read; export it again as JSON, or as text"


@dataclass(frozen=True)
class FormatRegistry(Generic[RecordT]):
    """The formats that a reader supports.

    Args:
        noun: the name of an item in error messages: "conversation".
        files: the file formats by name. One must be "jsonl".
        hub: the format of Hub data sets.
    """

    noun: str
    files: Mapping[str, FileFormat[RecordT]]
    hub: HubFormat[RecordT]

    def __getitem__(self, name: str) -> Format:
        return self.files.get(name, self.hub)

    @property
    def suffixes(self) -> frozenset[str]:
        """The suffixes of files that are read from folders and archives: those of all formats, and .txt."""
        return frozenset({".txt", *(suffix for format in self.files.values() for suffix in format.suffixes)})

    def check_name(self, name: str | None) -> None:
        """Check the name of a format given by the user.

        Raises:
            ValueError: when the format is unknown.
        """
        allowed = (*self.files, self.hub.name)
        if name is not None and name not in allowed:
            raise ValueError(f"{name_option('format', name)}: allowed are {', '.join(allowed)}")

    def list_sources(self, source: str, name: str | None) -> SourceFiles:
        """Return the files of a source; none for a Hub address.

        Args:
            source: a path, a glob, a folder or an address.
            name: the format given by the user, or None.

        Raises:
            ValueError: when the format does not match the source, or the address is invalid.
            FileNotFoundError, IsADirectoryError: see `list_files`.
        """
        if source.startswith(SCHEME):
            parse_address(source, self.hub)
            if name not in (None, self.hub.name):
                given = name_option("format", name)
                raise ValueError(f"{source}: {given} does not go with a Hub address; leave it out")
            return SourceFiles([], [], is_named=True)
        if name == self.hub.name:
            raise ValueError(f"{source}: is not a Hub address; write {self.hub.example}")
        return self.list_files(source, name)

    def list_files(self, source: str, name: str | None) -> SourceFiles:
        """Return the files of a path, a glob or a folder."""
        return list_files(source, noun=self.noun, suffixes=self.suffixes)

    def recognise(self, file: InputFile, options: ReadOptions) -> str:
        """Return the name of the format of a file: the given one, or the one that its beginning fits best.

        The suffix of the name decides if the content fits no format, or several formats equally well.

        Raises:
            DataFileError: when no format fits, or several fit equally well.
        """
        if options.format is not None:
            return options.format
        head = Head(file, options)
        self._refuse_foreign(head)
        scores = {name: self._score(format, head) for name, format in self.files.items()}
        best = max(scores.values())
        found = [name for name, score in scores.items() if score == best]
        by_name = [name for name in found if file.suffix in self.files[name].suffixes]
        if best == Certainty.NONE and not head.lines:
            return self._format_of_nothing(options)
        markup = None if "text" in found else _describe_markup(head.lines)  # such a page may be read as a document
        if best == Certainty.NONE or (best == Certainty.NAME and markup):
            raise self._unrecognised(head, markup)
        if len(found) > 1 and len(by_name) != 1:
            names = " or ".join(f"{self.files[name].human_name} ({name})" for name in found)
            raise DataFileError(f"{file.name}:1: may be {names}; say which with {name_option('format')}")
        return (by_name or found)[0]

    def _refuse_foreign(self, head: Head) -> None:
        """Raise DataFileError for a file that is not text, or that needs the option `encoding`."""
        kind = find_foreign_kind(head.magic)
        if kind is not None:
            raise ForeignFileError(f"{head.file.name}:1: is {kind}")
        encoding = find_wide_encoding(head.magic) if head.options.encoding is None else None
        if encoding is not None:
            fault = f"is not text, or {encoding[:6].upper()} without a mark"
            raise DataFileError(f"{head.file.name}:1: {fault}; read it with {name_option('encoding', encoding)}")
        if head.lines and head.lines[0].startswith(LFS_POINTER.decode()):
            raise DataFileError(f"{head.file.name}:1: is {LFS_FAULT}")

    def _format_of_nothing(self, options: ReadOptions) -> str:
        """Return a format for an empty file, to which the given options apply. The reader reports the file later."""
        is_chat = any(getattr(options, name) for name in CHAT_OPTIONS)
        return next((name for name, format in self.files.items() if is_chat and hasattr(format, "me")), "jsonl")

    def _score(self, format: FileFormat[RecordT], head: Head) -> Certainty:
        by_name = Certainty.NAME if head.file.suffix in format.suffixes else Certainty.NONE
        return max(by_name, format.score(head)) if head.lines else by_name

    def _unrecognised(self, head: Head, markup: str | None) -> DataFileError:
        if markup is not None:
            return ForeignFileError(f"{head.file.name}:1: {markup}")
        return ForeignFileError(
            f"{head.file.name}:1: the format cannot be recognised from its beginning, {shorten(head.lines[0])!r}; "
            f"known are {', '.join(self.files)}: say which with {name_option('format')}"
        )

    def read_hub(self, source: str, options: ReadOptions) -> Iterator[RecordT | Problem]:
        """Yield one record or problem per row of a data set.

        Raises:
            ValueError: when `columns` names columns of rows that hold one utterance each, which only files may have.
        """
        if "text" in options.roles:
            fault = f"{name_option('columns')} names one utterance a row, which is read from files"
            raise ValueError(f"{source}: {fault}; fetch the Parquet files of the data set, and give their folder")
        return read_hub(source, self.hub, options.roles)


def _describe_markup(lines: Sequence[str]) -> str | None:
    """Return an error message with a remedy for a page of HTML or for XML; None for other text."""
    match = _MARKUP.match(lines[0]) if lines else None
    if match is None:
        return None
    return f"is XML, {_TELL}" if match[1] else f"is a page of HTML, {_TELL}"
