"""A file's lines in, records of the documents in them out; one small file per format.

A new format is one file with a `FileFormat` (its names, `sniff`, `read`), one entry here, and its test.
"""

import os

from convmodel.document.formats.hub import HUB
from convmodel.document.formats.jsonl import JSONL
from convmodel.document.formats.python import PYTHON
from convmodel.document.formats.record import DocumentRecord
from convmodel.document.formats.text import FILE, TEXT
from convmodel.formats.base import FileFormat
from convmodel.formats.known import Formats

__all__ = ["DOCUMENTS", "FILE_FORMATS", "DocumentFormats", "DocumentRecord"]

FILE_FORMATS: dict[str, FileFormat[DocumentRecord]] = {each.name: each for each in (PYTHON, JSONL, TEXT, FILE)}
"""In the order in which they are asked whether a file is theirs: the most particular first."""


class DocumentFormats(Formats[DocumentRecord]):
    """Files, data sets, and folders of text files."""

    def find(self, source: str, name: str | None) -> str:
        """As for files; a folder is one of text files, each of which is a document unless `name` is "text"."""
        if os.path.isdir(source) and name in (None, TEXT.name, FILE.name):
            return name or FILE.name
        return super().find(source, name)


DOCUMENTS = DocumentFormats("document", FILE_FORMATS, HUB)
"""What readers of documents know."""
