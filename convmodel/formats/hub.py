"""The address of a Hub data set in, its conversations out; the one place that imports `datasets`."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base import ConversationFileError, Format, Problem, Record, kind
from .messages import turns_of

SCHEME = "hub://"
HUB = Format(name="hub", human_name="Hub data set", unit="row")

_OPTIONS = ("column", "split", "config", "revision")
_CHECK = "check name, config, split, revision and the network"
_EXAMPLE = "hub://org/name?column=dialog&split=train"


@dataclass(frozen=True)
class HubAddress:
    """Where conversations stand on the Hub.

    Args:
        path: org/name on the Hub, or a local folder.
        column: holds a list of strings or of messages. Without it, reading fails and tells the columns.
        split: part of the data set.
        config: of a data set which has several.
        revision: branch, tag or commit.
    """

    path: str
    column: str | None = None
    split: str = "train"
    config: str | None = None
    revision: str | None = None


def parse_address(source: str) -> HubAddress:
    """Reads `hub://org/name?column=...&split=...&config=...&revision=...`.

    Raises:
        ValueError: when it is no such address; the text says what is allowed.
    """
    from urllib.parse import parse_qsl  # here, because few readers need it and everybody would wait for it

    path, _, query = source.removeprefix(SCHEME).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ValueError(f"{source}: unknown option {unknown[0]!r}; allowed are {', '.join(_OPTIONS)}")
    empty = [name for name, value in options.items() if not value]
    if not path or empty:
        raise ValueError(f"{source}: {empty[0] if empty else 'the name'} is empty; write it like {_EXAMPLE}")
    return HubAddress(path, **options)


def hub_fingerprint(source: str) -> str:
    """What changes when the data set does: its commit on the Hub, or names, sizes and times of a local folder's files.

    Raises:
        ConversationFileError: when the Hub does not tell.
    """
    address = parse_address(source)
    if os.path.isdir(address.path):
        files = [file for file in sorted(Path(address.path).rglob("*")) if file.is_file()]
        return repr([source, *((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)])
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(address.path, revision=address.revision).sha
    except Exception as error:
        raise ConversationFileError(f"{source}: {_first_line(error)}; {_CHECK}") from error
    return f"{source} {commit}"


def read_hub(source: str) -> Iterator[Record | Problem]:
    """Yields one record or problem per row; only the one column is read.

    Raises:
        ConversationFileError: when the data set or the column cannot be had.
        ImportError: when the library `datasets` is not installed.
    """
    address = parse_address(source)
    rows = _open(source, address)
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            value = row[address.column]
            try:
                yield _record(number, value)
            except ValueError as error:
                yield Problem(number, str(error))
    except Exception as error:
        # Not a bad row but an end too early: never skipped, or half a data set would be taken for the whole.
        message = f"{source}:row {number + 1}: {_first_line(error)}; check the data set and the network"
        raise ConversationFileError(message) from error


def _record(number: int, value: Any) -> Record:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        turns, persona = turns_of(value)
        return Record(number, turns, persona)
    if not isinstance(value, list):
        raise ValueError(f"the column holds {kind(value)}; needed is a list of strings or of messages")
    return Record(number, value)


def _open(source: str, address: HubAddress) -> Iterable[Any]:
    try:
        import datasets
    except ImportError:
        cure = 'pip install "convmodel[train]"'
        raise ImportError(f"{source}: reading from the Hub needs the library datasets; {cure}") from None
    local = os.path.isdir(address.path)
    try:
        rows = datasets.load_dataset(
            os.path.abspath(address.path) if local else address.path,
            address.config,
            split=address.split,
            revision=None if local else address.revision,
            streaming=True,
        )
        columns = rows.column_names or list(next(iter(rows), {}))
    except Exception as error:
        raise ConversationFileError(f"{source}: {_first_line(error)}; {_CHECK}") from error
    if address.column not in columns:
        missing = f"has no column {address.column!r}" if address.column else "the address names no column"
        raise ConversationFileError(f"{source}: {missing}; write column=... with one of {', '.join(columns)}")
    return rows.select_columns([address.column])


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
