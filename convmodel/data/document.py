"""Files of documents in, Documents out, and back; knows nothing of tokens."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convmodel.data.conversation import check_text
from convmodel.data.formats.base import DataFileError, Problem, describe_type, quote_names, shorten
from convmodel.data.formats.documents import DOCUMENTS, DocumentRecord, dump
from convmodel.data.lines import DEFAULT_MAX_LINE_BYTES, replacing
from convmodel.data.reader import OnError, Reader, Report, count, digest_of

__all__ = [
    "DataFileError",
    "Document",
    "DocumentReader",
    "DocumentReport",
    "Meta",
    "Value",
    "check_meta",
    "meta_text",
    "read_documents",
    "write_documents",
]

Value = str | int | float | bool
"""One thing that is known of a document."""

Meta = str | tuple[Value, ...] | Mapping[str, Value | tuple[Value, ...]]
"""What is known of a document: a text, a list, or an object of fields, each a value or a list."""

_TEXT_SUFFIXES = (".txt", ".txt.gz")


@dataclass(frozen=True, slots=True)
class Document:
    """A text and what is known of it.

    Args:
        body: the text, kept character for character.
        meta: see `check_meta`.

    Raises:
        TypeError, ValueError: for a body that is no string, empty, only white space, or holds a lone surrogate; and
            see `check_meta`.
    """

    body: str
    meta: Meta | None = field(default=None, hash=False)

    def __init__(self, body: str, meta: Any = None) -> None:
        object.__setattr__(self, "body", check_text(body, "body"))
        object.__setattr__(self, "meta", check_meta(meta))


def check_meta(meta: Any) -> Meta | None:
    """Checks what is to be the meta of a document.

    Args:
        meta: a string, which is kept as it is; a number; a list of strings and numbers; or an object (dict) of such
            values and lists. What is null, empty or only white space is left out.

    Returns:
        Lists as tuples, a number alone as a string; None when nothing is left.

    Raises:
        TypeError: for anything else.
        ValueError: for a field without a name, or a lone surrogate.
    """
    if isinstance(meta, Mapping):
        fields = {_name(name): _field(value, f"field {shorten(str(name))!r}") for name, value in meta.items()}
        return {name: value for name, value in fields.items() if value is not None} or None
    found = _field(meta, "meta")
    return _one_line(found) if isinstance(found, bool | int | float) else found


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"meta has a field whose name is {describe_type(name)}; give it a name")
    return check_text(name, "the name of a field of meta")


def _field(value: Any, what: str) -> Value | tuple[Value, ...] | None:
    if isinstance(value, list | tuple):
        items = (_value(item, f"item {number} of {what}") for number, item in enumerate(value, 1))
        return tuple(item for item in items if item is not None) or None
    return _value(value, what)


def _value(value: Any, what: str) -> Value | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        return check_text(value, what)
    if isinstance(value, bool | int | float):
        return value
    raise TypeError(f"{what} is {describe_type(value)}; give a string, or a list or an object of strings and numbers")


def meta_text(meta: Meta | None) -> str:
    """What a model reads of a meta.

    A string stays as it is; the items of a list are joined with ", "; each field of an object is a line `name: value`.
    In items, names and values of fields any white space becomes one space, so that none can pose as another field.

    Args:
        meta: as `check_meta` gives it. None is "".
    """
    if meta is None or isinstance(meta, str):
        return meta or ""
    if isinstance(meta, Mapping):
        return "\n".join(f"{_one_line(name)}: {_listed(value)}" for name, value in meta.items())
    return _listed(meta)


def _listed(value: Value | tuple[Value, ...]) -> str:
    return ", ".join(map(_one_line, value if isinstance(value, tuple) else (value,)))


def _one_line(value: Value) -> str:
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value)


@dataclass
class DocumentReport(Report):
    """What one reading of a source came to, so far.

    Args:
        documents: how many were read.
        with_meta: how many of them have a meta.
        unused: keys that stood beside body and meta; the first ten.
    """

    documents: int = 0
    with_meta: int = 0
    unused: list[str] = field(default_factory=list)

    formats = DOCUMENTS

    def found(self) -> str:
        """How many documents, how many with meta, and what was not used."""
        text = count(self.documents, "document") + (f", {self.with_meta:,} with meta" if self.with_meta else "")
        return f"{text}, other keys not used: {quote_names(self.unused)}" if self.unused else text

    def add(self, record: DocumentRecord, made: Document) -> None:
        """Counts a document."""
        self.documents += 1
        self.with_meta += made.meta is not None
        if len(self.unused) < 10:
            self.unused.extend([name for name in record.unused if name not in self.unused][: 10 - len(self.unused)])


class DocumentReader(Reader[DocumentRecord, Document, DocumentReport]):
    """Reads documents, as often as wanted, in bounded memory.

    Args:
        source: a path, plain or gzipped; a folder, whose .txt and .txt.gz files are read in the order of their names,
            those of folders in it too; or `hub://org/name?column=text&meta=topic&split=train`.
        format: one of jsonl, python, text (blank lines between documents), file (one document a file), hub; None
            recognises it from the content, and a folder as one of "file".
        on_error: "stop" raises at the first thing that cannot be read, "skip" counts it and reads on.
        max_line_bytes: a longer line counts as one that cannot be read.

    Raises:
        ValueError: for an unknown `format` or `on_error`, or an address that cannot be read.
        DataFileError: when the format cannot be recognised; while reading, for what cannot be read ("stop"), and at
            the end for a source with nothing usable in it.
        FileNotFoundError, IsADirectoryError: when there is no such file, or a folder does not go with the format.
    """

    noun = "document"
    formats = DOCUMENTS

    def fingerprint(self) -> str:
        """A digest of what is read and how; it changes when the bytes, the files of a folder or the format do."""
        if self._is_hub:
            return super().fingerprint()
        files = [(os.path.relpath(path, self.source), digest_of(path)) for path in self._files()]
        return hashlib.blake2b(repr([self.format, files]).encode(), digest_size=16).hexdigest()

    def _new_report(self) -> DocumentReport:
        return DocumentReport(self.source, self.format)

    def _make(self, record: DocumentRecord, report: DocumentReport) -> Iterable[tuple[int, Document] | Problem]:
        try:
            made = Document(record.body, record.meta)
        except (TypeError, ValueError) as error:
            return (Problem(record.line, str(error), record.file),)
        report.add(record, made)
        return ((record.line, made),)

    def _items(self) -> Iterator[DocumentRecord | Problem]:
        if not os.path.isdir(self.source):
            return super()._items()
        return (item._replace(file=path) for path in self._files() for item in self._items_of(path))

    def _files(self) -> list[str]:
        """The files that are read."""
        if not os.path.isdir(self.source):
            return [self.source]
        found = sorted(str(path) for path in Path(self.source).rglob("*") if _is_text(path))
        if not found:
            inside = ", ".join(sorted(os.listdir(self.source))[:5]) or "it is empty"
            raise DataFileError(f"{self.source}: there are no .txt files in the folder ({inside}); give one file")
        return found


def _is_text(path: Path) -> bool:
    return path.name.lower().endswith(_TEXT_SUFFIXES) and path.is_file()


def read_documents(
    source: str | os.PathLike[str],
    *,
    format: str | None = None,
    on_error: OnError = "stop",
    max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
) -> Iterator[Document]:
    """Yields the documents of a file, a folder or a Hub data set once; all else is as in `DocumentReader`."""
    return iter(DocumentReader(source, format=format, on_error=on_error, max_line_bytes=max_line_bytes))


def write_documents(documents: Iterable[Document], path: str | os.PathLike[str]) -> int:
    """Writes JSON Lines from which `read_documents` makes equal documents.

    Args:
        documents: they may come from the very file that is written.
        path: gzipped when it ends in .gz. It appears, or is replaced, only when everything is written.

    Returns:
        How many were written.

    Raises:
        TypeError: for anything that is not a Document.
        ValueError: for a number that JSON cannot hold; nothing is written then.
    """
    written = 0
    with replacing(os.fspath(path)) as file:
        for written, document in enumerate(documents, 1):
            if not isinstance(document, Document):
                raise TypeError(f"document {written} is {describe_type(document)}; make it a Document")
            try:
                line = dump(document.body, document.meta)
            except ValueError as error:
                raise ValueError(f"document {written}: meta cannot be written as JSON ({error})") from None
            file.write(line.encode() + b"\n")
    return written
