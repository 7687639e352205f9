"""Write training data that is given in Python to files, which the data modules read."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from convmodel.data.conversation import Conversation, write_conversations
from convmodel.data.document import Document, write_documents
from convmodel.data.formats.base import describe_type
from convmodel.data.lines import open_atomic
from convmodel.data.selection_example import SelectionExample, dump_example
from convmodel.models.trainable import Data


def to_files(data: Data, file: Path, *, role: str, noun: str) -> str | list[str]:
    """Return the path or paths of some data. Items in memory are written to a file first.

    Args:
        data: a path, folder, glob or `hub://...`; several of them; or an iterable of items. An item is a list of texts,
            a `Conversation` or a `SelectionExample`; of documents, a text or a `Document`. A list of strings is a list
            of paths, but of documents it is a list of texts: give several files of documents as `Path` objects.
        file: the file to write. Items are written in their order, one at a time.
        role: the name of the argument in errors, such as "train".
        noun: "conversations" or "documents".

    Raises:
        TypeError: for an item of another type.
        ValueError: for data without items, or an item that is not allowed. Messages name the item, counted from 1.
    """
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    if not isinstance(data, Iterable) or isinstance(data, bytes | Mapping):
        raise TypeError(f"{role} is {describe_type(data)}; give a path, or a list of {noun}")
    items = iter(data)
    try:
        first = next(items)
    except StopIteration:
        raise ValueError(f"{role} is empty; give at least one of the {noun}, or a path") from None
    items = chain([first], items)
    if isinstance(first, os.PathLike) or (isinstance(first, str) and noun != "documents"):
        return [_path(item, f"{role}, number {number}") for number, item in enumerate(items, 1)]
    if noun == "documents":
        write_documents((_document(item, f"{role}, document {n}") for n, item in enumerate(items, 1)), file)
    elif isinstance(first, SelectionExample):
        _write_examples((_example(item, f"{role}, example {n}") for n, item in enumerate(items, 1)), file)
    else:
        write_conversations((_conversation(item, f"{role}, conversation {n}") for n, item in enumerate(items, 1)), file)
    return str(file)


def _path(item: object, name: str) -> str:
    if isinstance(item, str | os.PathLike):
        return os.fspath(item)
    raise TypeError(f"{name} is {describe_type(item)}, and the first is a path; give paths alone, or items alone")


def _document(item: object, name: str) -> Document:
    """Return a document. A text of one line that is the path of a file is an error."""
    if isinstance(item, Document):
        return item
    if not isinstance(item, str):
        raise TypeError(f"{name} is {describe_type(item)}; give texts, or Document(text, meta=...)")
    if len(item) < 1024 and "\n" not in item and os.path.isfile(item):
        raise ValueError(f"{name} is {item!r}, the path of a file; give files in a list as Path({item!r})")
    try:
        return Document(item)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _example(item: object, name: str) -> SelectionExample:
    if isinstance(item, SelectionExample):
        return item
    raise TypeError(f"{name} is {describe_type(item)}, and the first is a SelectionExample; give items of one type")


def _conversation(item: Any, name: str) -> Conversation:
    """Return a conversation without its `meta`, which training does not use and JSON may not represent."""
    if isinstance(item, SelectionExample | Document):
        raise TypeError(f"{name} is a {type(item).__name__}; give lists of texts, or Conversation objects")
    try:
        if isinstance(item, Conversation):
            conversation = Conversation(item.turns, item.persona, speakers=item.speakers)
        else:
            conversation = Conversation(item)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
    if len(conversation.turns) < 2:
        raise ValueError(f"{name}: there is only one turn; a conversation needs two, give it a response")
    return conversation


def _write_examples(examples: Iterator[SelectionExample], file: Path) -> None:
    with open_atomic(os.fspath(file)) as opened:
        for example in examples:
            opened.write(dump_example(example).encode() + b"\n")
