"""A path or address in, which of the known formats it is out."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic

from convmodel.data.formats.base import DataFileError, FileFormat, Format, Problem, RecordT, shorten
from convmodel.data.formats.hub import SCHEME, HubFormat, hub_fingerprint, parse_address, read_hub
from convmodel.data.lines import check_is_file, first_lines


@dataclass(frozen=True)
class FormatRegistry(Generic[RecordT]):
    """The formats that a kind of reader knows.

    Args:
        noun: what is in the files: "conversation".
        files: by name, in the order in which they are asked whether a file is theirs: the most particular first. One
            is "jsonl".
        hub: what is made of a data set of the Hub.
    """

    noun: str
    files: Mapping[str, FileFormat[RecordT]]
    hub: HubFormat[RecordT]

    def __getitem__(self, name: str) -> Format:
        return self.files.get(name, self.hub)

    def find(self, source: str, name: str | None) -> str:
        """The name of a source's format.

        Args:
            source: a path or an address.
            name: what the user says that it is, or None.

        Raises:
            ValueError: when there is no such format, or it does not go with the source.
            DataFileError, FileNotFoundError, IsADirectoryError: as `recognise`.
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
            raise ValueError(f"{source}: is no Hub address; write {self.hub.example}")
        if name is None:
            return self.recognise(source).name
        check_is_file(source, noun=self.noun)
        return name

    def recognise(self, path: str) -> FileFormat[RecordT]:
        """Tells a file's format from its first lines; from its name only if the lines tell nothing.

        Raises:
            DataFileError: when neither tells.
            FileNotFoundError, IsADirectoryError: when there is no such file.
        """
        check_is_file(path, noun=self.noun)
        lines = first_lines(path)
        suffix = os.path.splitext(path.lower().removesuffix(".gz"))[1]
        named = [each for each in self.files.values() if suffix in each.suffixes]
        found = [each for each in self.files.values() if lines and each.sniff(lines)] or named
        if found:
            return found[0]
        if not lines:
            return self.files["jsonl"]  # nothing is nothing in every format; the reader will say that the file is empty
        known = ", ".join(f"{each.human_name} ({name})" for name, each in self.files.items())
        raise DataFileError(
            f"{path}:1: the format cannot be recognised from its beginning, {shorten(lines[0])!r}; "
            f"known are {known}: say which with format=..."
        )

    def read_hub(self, source: str) -> Iterator[RecordT | Problem]:
        """Yields one record or problem per row of a data set."""
        return read_hub(source, self.hub)

    def hub_fingerprint(self, source: str) -> str:
        """What changes when a data set does."""
        return hub_fingerprint(source, self.hub)
