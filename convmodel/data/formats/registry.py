"""Detecting the format of a source among the formats that a reader supports."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic

from convmodel.data.formats.base import DataFileError, FileFormat, Format, Problem, RecordT, shorten
from convmodel.data.formats.hub import SCHEME, HubFormat, hub_fingerprint, parse_address, read_hub
from convmodel.data.lines import check_file, first_lines


@dataclass(frozen=True)
class FormatRegistry(Generic[RecordT]):
    """The formats that a reader supports.

    Args:
        noun: the name of an item in error messages: "conversation".
        files: the file formats by name, in the order of detection, the most specific first. One must be "jsonl".
        hub: the format of Hub data sets.
    """

    noun: str
    files: Mapping[str, FileFormat[RecordT]]
    hub: HubFormat[RecordT]

    def __getitem__(self, name: str) -> Format:
        return self.files.get(name, self.hub)

    def find(self, source: str, name: str | None) -> str:
        """Return the name of a source's format.

        Args:
            source: a path or an address.
            name: the format given by the user, or None to detect it.

        Raises:
            ValueError: when the format is unknown, or does not match the source.
            DataFileError, FileNotFoundError, IsADirectoryError: see `detect`.
        """
        allowed = (*self.files, self.hub.name)
        if name is not None and name not in allowed:
            raise ValueError(f"format={name!r}: allowed are {', '.join(allowed)}")
        if source.startswith(SCHEME):
            parse_address(source, options=self.hub.options, example=self.hub.example)
            if name not in (None, self.hub.name):
                raise ValueError(f"{source}: format={name!r} does not go with a Hub address; leave it out")
            return self.hub.name
        if name == self.hub.name:
            raise ValueError(f"{source}: is not a Hub address; write {self.hub.example}")
        if name is None:
            return self.detect(source).name
        check_file(source, noun=self.noun)
        return name

    def detect(self, path: str) -> FileFormat[RecordT]:
        """Return the format of a file, detected from its first lines, or from its name if the lines match no format.

        Raises:
            DataFileError: when neither matches.
            FileNotFoundError, IsADirectoryError: when the file is missing, or is a folder.
        """
        check_file(path, noun=self.noun)
        lines = first_lines(path)
        suffix = os.path.splitext(path.lower().removesuffix(".gz"))[1]
        by_name = [format for format in self.files.values() if suffix in format.suffixes]
        matches = [format for format in self.files.values() if lines and format.sniff(lines)] or by_name
        if matches:
            return matches[0]
        if not lines:
            return self.files["jsonl"]  # any format will do: the reader will report that the file is empty
        known = ", ".join(f"{format.human_name} ({name})" for name, format in self.files.items())
        raise DataFileError(
            f"{path}:1: the format cannot be recognised from its beginning, {shorten(lines[0])!r}; "
            f"known are {known}: say which with format=..."
        )

    def read_hub(self, source: str) -> Iterator[RecordT | Problem]:
        """Yield one record or problem per row of a data set."""
        return read_hub(source, self.hub)

    def hub_fingerprint(self, source: str) -> str:
        """Return a string that changes with the content of a data set."""
        return hub_fingerprint(source, self.hub)
