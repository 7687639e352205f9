"""Inputs of a reader: the files and data sets in its sources, each with its format."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from convmodel.data.containers import InputFile
from convmodel.data.data_file import Head
from convmodel.data.formats.base import DataFileError, ForeignFileError
from convmodel.data.formats.hub import SCHEME
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.options import ReadOptions


class Input(NamedTuple):
    """A file, or a data set of the Hub, with its format.

    Args:
        format: the name of the format.
        name: the name of the file in error messages, or the address of the data set.
        file: the file; None for a data set.
    """

    format: str
    name: str
    file: InputFile | None = None


class InputFinder:
    """Finder of the inputs in sources. The format of each file is recognised once.

    A file of a folder, an archive or a glob is skipped if its format is unknown. It is also skipped if it cannot
    contain items, unless no other file can.

    Args:
        sources: the paths and addresses.
        options: the options of the reader.
        recognise: a function from a file and its source to the name of its format.
    """

    def __init__(
        self, sources: Sequence[str], options: ReadOptions, recognise: Callable[[InputFile, str], str]
    ) -> None:
        self._sources = sources
        self._options = options
        self._recognise = recognise
        self._formats: dict[str, str] = {}
        self._foreign: dict[str, DataFileError] = {}
        self._faults: dict[str, str] = {}
        self.others: list[str] = []
        """The files that the last `find` skipped; those with a reason come first."""

    def find(self, formats: FormatRegistry[Any]) -> list[Input]:
        """Return the files and data sets that exist now.

        Args:
            formats: the formats that the reader supports.

        Raises:
            ForeignFileError: when no file of a source has a known format.
        """
        self.others = []
        return [found for source in self._sources for found in self._list(source, formats)]

    def _list(self, source: str, formats: FormatRegistry[Any]) -> Iterator[Input]:
        listing = formats.list_sources(source, self._options.format)
        if source.startswith(SCHEME):
            yield Input(formats.hub.name, source)
        for file in listing.files:
            if file.name not in self._formats and file.name not in self._foreign:
                self._sort(file, source, formats, is_named=listing.is_named)
        known = [file for file in listing.files if file.name in self._formats]
        if listing.files and not known:
            raise self._foreign[listing.files[0].name]
        kept = [file for file in known if file.name not in self._faults] or known
        names = {file.name for file in kept}
        left = [file.name for file in listing.files if file.name not in names]
        self.others[:0] = [self._faults.get(name) or str(self._foreign[name]) for name in left]
        self.others += listing.others
        yield from (Input(self._formats[file.name], file.name, file) for file in kept)

    def _sort(self, file: InputFile, source: str, formats: FormatRegistry[Any], *, is_named: bool) -> None:
        """Recognise the format of a file, and store any reason not to read it."""
        try:
            name = self._recognise(file, source)
        except ForeignFileError as error:
            if is_named:
                raise
            self._foreign[file.name] = error
            return
        self._formats[file.name] = name
        find_fault = formats.files[name].find_fault
        if is_named or self._options.format is not None or find_fault is None:
            return
        if (fault := find_fault(Head(file, self._options))) is not None:
            self._faults[file.name] = f"{file.name}:1: {fault}"
