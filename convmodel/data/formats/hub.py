"""The address of a Hub data set in, what its rows hold out; the one place that imports `datasets`."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from convmodel.data.formats.base import DataFileError, Format, Problem, Record, RecordT, describe_type
from convmodel.data.formats.messages import turns_of

SCHEME = "hub://"

_OPTIONS = ("column", "split", "config", "revision")
_CHECK = "check name, config, split, revision and the network"
_EXAMPLE = "hub://org/name?column=dialog&split=train"


@dataclass(frozen=True)
class HubAddress:
    """Where conversations or documents stand on the Hub.

    Args:
        path: org/name on the Hub, or a local folder.
        column: holds a list of strings or of messages, or a document. Without it, reading fails and tells the columns.
        split: part of the data set.
        config: of a data set which has several.
        revision: branch, tag or commit.
        meta: of documents, the columns that are their metadata, separated by commas.
    """

    path: str
    column: str | None = None
    split: str = "train"
    config: str | None = None
    revision: str | None = None
    meta: str | None = None

    @property
    def meta_columns(self) -> list[str]:
        """The columns that are metadata."""
        return self.meta.split(",") if self.meta else []


@dataclass(frozen=True)
class HubFormat(Format, Generic[RecordT]):
    """What one kind of reader makes of a data set's rows.

    Args:
        example: an address, as errors show it.
        options: what an address may say behind its `?`.
        record: the number of a row, its columns that are asked for, and the address -> what is in it. It raises
            ValueError when that is nothing.
    """

    example: str
    options: tuple[str, ...]
    record: Callable[[int, Mapping[str, Any], HubAddress], RecordT]


def parse_address(source: str, *, options: tuple[str, ...] = _OPTIONS, example: str = _EXAMPLE) -> HubAddress:
    """Reads `hub://org/name?column=...&split=...&config=...&revision=...`.

    Args:
        source: the address.
        options: what it may say.
        example: one that is right, for errors.

    Raises:
        ValueError: when it is no such address; the text says what is allowed.
    """
    from urllib.parse import parse_qsl  # here, because few readers need it and everybody would wait for it

    path, _, query = source.removeprefix(SCHEME).partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(given) - set(options))
    if unknown:
        raise ValueError(f"{source}: unknown option {unknown[0]!r}; allowed are {', '.join(options)}")
    empty = [name for name, value in given.items() if not value]
    if not path or empty:
        raise ValueError(f"{source}: {empty[0] if empty else 'the name'} is empty; write it like {example}")
    return HubAddress(path, **given)


def hub_fingerprint(source: str, format: HubFormat[Any]) -> str:
    """What changes when the data set does: its commit on the Hub, or names, sizes and times of a local folder's files.

    Raises:
        DataFileError: when the Hub does not tell.
    """
    address = parse_address(source, options=format.options, example=format.example)
    if os.path.isdir(address.path):
        files = [file for file in sorted(Path(address.path).rglob("*")) if file.is_file()]
        return repr([source, *((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)])
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(address.path, revision=address.revision).sha
    except Exception as error:
        raise DataFileError(f"{source}: {_first_line(error)}; {_CHECK}") from error
    return f"{source} {commit}"


def read_hub(source: str, format: HubFormat[RecordT]) -> Iterator[RecordT | Problem]:
    """Yields one record or problem per row; only the columns that the address names are read.

    Raises:
        DataFileError: when the data set or the column cannot be had.
        ImportError: when the library `datasets` is not installed.
    """
    address = parse_address(source, options=format.options, example=format.example)
    rows = _open(source, address)
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            try:
                yield format.record(number, row, address)
            except ValueError as error:
                yield Problem(number, str(error))
    except Exception as error:
        # Not a bad row but an end too early: never skipped, or half a data set would be taken for the whole.
        message = f"{source}:row {number + 1}: {_first_line(error)}; check the data set and the network"
        raise DataFileError(message) from error


def _record(number: int, row: Mapping[str, Any], address: HubAddress) -> Record:
    value = row[str(address.column)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        turns, persona = turns_of(value)
        return Record(number, turns, persona)
    if not isinstance(value, list):
        raise ValueError(f"the column holds {describe_type(value)}; needed is a list of strings or of messages")
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
        raise DataFileError(f"{source}: {_first_line(error)}; {_CHECK}") from error
    wanted = [address.column, *address.meta_columns]
    for name in wanted:
        if name not in columns:
            missing = f"has no column {name!r}" if name else "the address names no column"
            option = "column" if name == address.column else "meta"
            raise DataFileError(f"{source}: {missing}; write {option}=... with one of {', '.join(columns)}")
    return rows.select_columns(list(dict.fromkeys(wanted)))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


HUB = HubFormat(name="hub", human_name="Hub data set", unit="row", example=_EXAMPLE, options=_OPTIONS, record=_record)
