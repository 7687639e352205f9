"""The formats of conversations.

A new format is one module with a `FileFormat` (its names, `sniff`, `read`), one entry here, and its test. The formats
of documents are in `documents.py`.
"""

from convmodel.data.formats.base import (
    ConversationFileError,
    DataFileError,
    FileFormat,
    Format,
    Problem,
    Record,
    TextLine,
)
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
    "Problem",
    "Record",
    "TextLine",
]

FILE_FORMATS: dict[str, FileFormat[Record]] = {
    format.name: format for format in (PARLAI, FBDIALOG, UBUNTU, CSV, TSV, JSONL)
}
"""The file formats in the order of detection, the most specific first."""

CONVERSATIONS = FormatRegistry("conversation", FILE_FORMATS, HUB)
"""The formats that readers of conversations support."""
