"""A file's lines in, records of what stands in them out; one small file per format.

A new format is one file with a `FileFormat` (its names, `sniff`, `read`), one entry here, and its test.
"""

import os

from .base import ConversationFileError, FileFormat, Format, Line, Problem, Record, shorten
from .fbdialog import FBDIALOG
from .hub import HUB, SCHEME, hub_fingerprint, parse_address, read_hub
from .jsonl import JSONL
from .lines import check_is_file, first_lines
from .parlai import PARLAI
from .table import CSV, TSV
from .ubuntu import UBUNTU

__all__ = [
    "FILE_FORMATS",
    "HUB",
    "SCHEME",
    "ConversationFileError",
    "FileFormat",
    "Format",
    "Line",
    "Problem",
    "Record",
    "hub_fingerprint",
    "parse_address",
    "read_hub",
    "recognise",
]

FILE_FORMATS: dict[str, FileFormat] = {each.name: each for each in (PARLAI, FBDIALOG, UBUNTU, CSV, TSV, JSONL)}
"""In the order in which they are asked whether a file is theirs: the most particular first."""


def recognise(path: str) -> FileFormat:
    """Tells a file's format from its first lines; from its name only if the lines tell nothing.

    Raises:
        ConversationFileError: when neither tells.
        FileNotFoundError, IsADirectoryError: when there is no such file.
    """
    check_is_file(path)
    lines = first_lines(path)
    suffix = os.path.splitext(path.lower().removesuffix(".gz"))[1]
    named = [each for each in FILE_FORMATS.values() if suffix in each.suffixes]
    found = [each for each in FILE_FORMATS.values() if lines and each.sniff(lines)] or named
    if found:
        return found[0]
    if not lines:
        return JSONL  # nothing is nothing in every format; the reader will say that the file is empty
    known = ", ".join(f"{each.human_name} ({name})" for name, each in FILE_FORMATS.items())
    raise ConversationFileError(
        f"{path}:1: the format cannot be recognised from its beginning, {shorten(lines[0])!r}; "
        f"known are {known}: say which with format=..."
    )
