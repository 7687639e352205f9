"""The Document class, and reading and writing files of documents."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Unpack

from convmodel.data.containers import InputFile
from convmodel.data.conversation import check_text
from convmodel.data.formats.base import DataFileError, describe_type, quote_names, shorten
from convmodel.data.formats.document_record import DocumentRecord
from convmodel.data.formats.documents import DOCUMENTS, FILE, TEXT, dump
from convmodel.data.json_text import encode_json
from convmodel.data.lines import open_atomic
from convmodel.data.options import TALK_OPTIONS, OptionValues, ReadOptions
from convmodel.data.reader import Reader, Report, Source, format_count, text_digest

__all__ = [
    "DataFileError",
    "Document",
    "DocumentReader",
    "DocumentReport",
    "Meta",
    "MetaValue",
    "check_meta",
    "format_meta",
    "read_documents",
    "write_documents",
]

MetaValue = str | int | float | bool
"""A single value of metadata."""

Meta = str | tuple[MetaValue, ...] | Mapping[str, MetaValue | tuple[MetaValue, ...]]
"""Metadata of a document: a text, a list, or a mapping of fields to values or lists."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text with its metadata.

    Args:
        body: the text, stored character for character.
        meta: the metadata, normalised by `check_meta`.

    Raises:
        TypeError, ValueError: for a body that is not a string, is empty or only white space, or contains a lone
            surrogate; for the metadata see `check_meta`.
    """

    body: str
    meta: Meta | None = field(default=None, hash=False)

    def __init__(self, body: str, meta: Any = None) -> None:
        object.__setattr__(self, "body", check_text(body, "body"))
        object.__setattr__(self, "meta", check_meta(meta))


def check_meta(meta: Any) -> Meta | None:
    """Check and normalise the metadata of a document.

    Args:
        meta: a string, which is kept unchanged; a number; a list of strings and numbers; or a mapping of names to such
            values and lists. Values that are null, empty or only white space are removed.

    Returns:
        The metadata, with lists as tuples and a single number as a string; None if nothing remains.

    Raises:
        TypeError: for any other type.
        ValueError: for a field without a name, or a lone surrogate.
    """
    if isinstance(meta, Mapping):
        fields = {_name(name): _field(value, f"field {shorten(str(name))!r}") for name, value in meta.items()}
        return {name: value for name, value in fields.items() if value is not None} or None
    value = _field(meta, "meta")
    return _one_line(value) if isinstance(value, bool | int | float) else value


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"meta has a field whose name is {describe_type(name)}; give it a name")
    return check_text(name, "the name of a field of meta")


def _field(value: Any, what: str) -> MetaValue | tuple[MetaValue, ...] | None:
    if isinstance(value, list | tuple):
        items = (_value(item, f"item {i} of {what}") for i, item in enumerate(value, 1))
        return tuple(item for item in items if item is not None) or None
    return _value(value, what)


def _value(value: Any, what: str) -> MetaValue | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        return check_text(value, what)
    if isinstance(value, bool | int | float):
        return value
    raise TypeError(f"{what} is {describe_type(value)}; give a string, or a list or an object of strings and numbers")


def format_meta(meta: Meta | None) -> str:
    """Format metadata as the text that a model reads.

    A string is kept unchanged; the items of a list are joined with ", "; each field of a mapping is a line
    `name: value`. White space in items, and in names and values of fields, is collapsed to single spaces, so that no
    value can imitate another field.

    Args:
        meta: metadata as returned by `check_meta`. None becomes "".
    """
    if meta is None or isinstance(meta, str):
        return meta or ""
    if isinstance(meta, Mapping):
        return "\n".join(f"{_one_line(name)}: {_listed(value)}" for name, value in meta.items())
    return _listed(meta)


def _listed(value: MetaValue | tuple[MetaValue, ...]) -> str:
    return ", ".join(map(_one_line, value if isinstance(value, tuple) else (value,)))


def _one_line(value: MetaValue) -> str:
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value)


@dataclass
class DocumentReport(Report):
    """Counts of one pass over a source of documents.

    Args:
        documents: the number of documents read.
        with_meta: the number of documents with metadata.
        unused: the first ten ignored keys of objects.
    """

    documents: int = 0
    with_meta: int = 0
    unused: list[str] = field(default_factory=list)

    formats = DOCUMENTS

    def describe_read(self) -> str:
        """Return the number of documents, the number with metadata, and the ignored keys, in words."""
        text = format_count(self.documents, "document") + (f", {self.with_meta:,} with meta" if self.with_meta else "")
        return f"{text}, other keys not used: {quote_names(self.unused)}" if self.unused else text

    def add(self, record: DocumentRecord, document: Document) -> None:
        """Count a document."""
        self.documents += 1
        self.with_meta += document.meta is not None
        if len(self.unused) < 10:
            self.unused.extend([name for name in record.unused if name not in self.unused][: 10 - len(self.unused)])


class DocumentReader(Reader[DocumentRecord, Document, DocumentReport]):
    """Read the documents of a file, a folder or a Hub data set, any number of times, in bounded memory.

    Args:
        source: a path, a glob, or `hub://org/name?column=text&meta=topic&split=train`; a folder, of which the .txt
            files (or all files, if there are none) are read in the order of their names, including subfolders; or a
            list of these. Files may be compressed.
        options: the options; see `ReadOptions`. `format` is one of jsonl, python, text (blank lines between documents),
            file (one document per file), hub; text files of a folder are read as "file" by default.
        values: options by name; they override `options`.

    Raises:
        ValueError: for an unknown `format` or `on_error`, or an invalid address.
        DataFileError: when the format cannot be detected; while reading, for an unreadable line ("stop"); at the end,
            for a source without a usable document.
        FileNotFoundError, IsADirectoryError: when the file is missing, or the format does not allow a folder.
    """

    noun = "document"
    unused_options = ("columns", *TALK_OPTIONS)
    formats = DOCUMENTS
    report_class = DocumentReport

    def _recognise(self, file: InputFile, source: str) -> str:
        is_document = self.options.format is None and os.path.isdir(source) and file.suffix in TEXT.suffixes
        return FILE.name if is_document else super()._recognise(file, source)

    def fingerprint(self) -> str:
        """Return a digest of the source: of the bytes, the names of a folder's files, and the format."""
        inputs = self._inputs
        if not all(each.file for each in inputs):
            return super().fingerprint()
        top = self._sources[0] if os.path.isdir(self._sources[0]) else None
        files = [(os.path.relpath(each.name, top or each.name), self._digest(each)) for each in inputs]
        key = {name: value for name, value in self.options.content_key().items() if name != "format"}
        return text_digest(repr([self.format, files, *([key] if key else [])]))

    def _convert(self, record: DocumentRecord, report: DocumentReport) -> Document:
        document = Document(record.body, record.meta)
        try:
            encode_json(document.meta)
        except ValueError:
            fault = "meta holds NaN or infinity, which cannot be written as JSON"
            raise ValueError(f"{fault}; write null, or leave it out") from None
        report.add(record, document)
        return document


def read_documents(
    source: Source, options: ReadOptions | None = None, **values: Unpack[OptionValues]
) -> Iterator[Document]:
    """Yield the documents of a source once; see `DocumentReader` for arguments and errors."""
    return iter(DocumentReader(source, options, **values))


def write_documents(documents: Iterable[Document], path: str | os.PathLike[str]) -> int:
    """Write documents as JSON Lines, from which `read_documents` reads equal documents.

    Args:
        documents: the documents. They may be read from the file that is written.
        path: the output file, gzipped if its name ends in .gz. It is created or replaced only after everything is
            written.

    Returns:
        The number of documents written.

    Raises:
        TypeError: for an element that is not a Document.
        ValueError: for a number that JSON cannot represent. The file is unchanged then.
    """
    written = 0
    with open_atomic(os.fspath(path)) as file:
        for written, document in enumerate(documents, 1):
            if not isinstance(document, Document):
                raise TypeError(f"document {written} is {describe_type(document)}; make it a Document")
            try:
                line = dump(document.body, document.meta)
            except ValueError as error:
                raise ValueError(f"document {written}: meta cannot be written as JSON ({error})") from None
            file.write(line.encode() + b"\n")
    return written
