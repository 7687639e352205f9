"""A file's lines in, records of what stands in them out; one small file per format.

Here are those of conversations; documents have theirs in convmodel/document/formats. A new format is one file with a
`FileFormat` (its names, `sniff`, `read`), one entry here, and its test.
"""

from convmodel.data.formats.base import ConversationFileError, DataFileError, FileFormat, Format, Line, Problem, Record
from convmodel.data.formats.csv import CSV, TSV
from convmodel.data.formats.fbdialog import FBDIALOG
from convmodel.data.formats.hub import HUB
from convmodel.data.formats.jsonl import JSONL
from convmodel.data.formats.parlai import PARLAI
from convmodel.data.formats.registry import FormatRegistry
from convmodel.data.formats.ubuntu import UBUNTU

__all__ = [
    "CONVERSATIONS",
    "FILE_FORMATS",
    "HUB",
    "ConversationFileError",
    "DataFileError",
    "FileFormat",
    "Format",
    "FormatRegistry",
    "Line",
    "Problem",
    "Record",
]

FILE_FORMATS: dict[str, FileFormat[Record]] = {each.name: each for each in (PARLAI, FBDIALOG, UBUNTU, CSV, TSV, JSONL)}
"""In the order in which they are asked whether a file is theirs: the most particular first."""

CONVERSATIONS = FormatRegistry("conversation", FILE_FORMATS, HUB)
"""What readers of conversations know."""
