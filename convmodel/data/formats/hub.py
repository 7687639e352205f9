"""Reading data sets of the Hugging Face Hub by address; the only module that imports `datasets`."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, cast

from convmodel.data.data_file import Notes
from convmodel.data.formats.base import DataFileError, Format, Problem, Record, RecordT, describe_type
from convmodel.data.formats.parquet import plain_value
from convmodel.data.shapes.base import Fields, build_record, read_turns
from convmodel.data.shapes.registry import list_names
from convmodel.errors import install_command

SCHEME = "hub://"

_CHECK = "check name, config, split, revision and the network"


@dataclass(frozen=True)
class HubAddress:
    """The address of conversations or documents on the Hub.

    Args:
        path: org/name on the Hub, or a local folder.
        column: the column with lists of strings or messages, or with documents; or two columns, separated by a comma,
            with contexts and responses. Without it, reading fails with an error that lists the columns.
        split: the split of the data set.
        config: the configuration, for a data set with several.
        revision: a branch, tag or commit.
        meta: the metadata columns of documents, separated by commas.
        roles: the columns by role that the `columns` option gives; they take the place of `column`.
    """

    path: str
    column: str | None = None
    split: str = "train"
    config: str | None = None
    revision: str | None = None
    meta: str | None = None
    roles: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The names of the columns to read, without those of the metadata; one empty name if the address has none."""
        if self.roles:
            return list(self.roles.values())
        return self.column.split(",") if self.column else [""]

    @property
    def meta_columns(self) -> list[str]:
        """The names of the metadata columns."""
        return self.meta.split(",") if self.meta else []


@dataclass(frozen=True, kw_only=True)
class HubFormat(Format, Generic[RecordT]):
    """The conversion of a data set's rows to records.

    Args:
        name, human_name, unit: see `Format`.
        example: an example address for error messages.
        options: the options that an address may have after its `?`.
        record: a function from the number of a row, its requested columns and the address to a record. It raises
            ValueError for an unusable row.
    """

    name: str = "hub"
    human_name: str = "Hub data set"
    unit: str = "row"
    example: str
    options: tuple[str, ...]
    record: Callable[[int, Mapping[str, Any], HubAddress], RecordT]


def parse_address(source: str, format: HubFormat[Any]) -> HubAddress:
    """Parse an address `hub://org/name?column=...&split=...&config=...&revision=...`.

    Raises:
        ValueError: when the address is invalid; the message lists the allowed options.
    """
    from urllib.parse import (
        parse_qsl,  # imported here, because few readers need it and it slows down the import of the package
    )

    path, _, query = source.removeprefix(SCHEME).partition("?")
    values = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(values) - set(format.options))
    if unknown:
        raise ValueError(f"{source}: unknown option {unknown[0]!r}; allowed are {', '.join(format.options)}")
    empty = [name for name, value in values.items() if not value]
    if not path or empty:
        raise ValueError(f"{source}: {empty[0] if empty else 'the name'} is empty; write it like {format.example}")
    list_names(values.get("meta", "").split(","))
    return replace(HubAddress(path), **cast("dict[str, Any]", values))


def hub_fingerprint(source: str, format: HubFormat[Any]) -> str:
    """Return a string that identifies the content of a data set.

    It is the commit on the Hub, or the names, sizes and modification times of a local folder's files.

    Raises:
        DataFileError: when the Hub does not provide the commit.
    """
    address = parse_address(source, format)
    if os.path.isdir(address.path):
        files = [file for file in sorted(Path(address.path).rglob("*")) if file.is_file()]
        return repr([source, *((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)])
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(address.path, revision=address.revision).sha
    except Exception as error:
        raise DataFileError(f"{source}: {_first_line(error)}; {_CHECK}") from error
    return f"{source} {commit}"


def read_hub(source: str, format: HubFormat[RecordT], roles: Mapping[str, str]) -> Iterator[RecordT | Problem]:
    """Yield one record or problem per row. Only the columns that the address or `roles` name are read.

    Args:
        source: the address of the data set.
        format: the format, which converts the rows.
        roles: the columns by role that the `columns` option gives; empty without it.

    Raises:
        DataFileError: when the data set or the column is not available.
        ImportError: when the library `datasets` is not installed.
    """
    address = replace(parse_address(source, format), roles=roles)
    rows = _open(source, address)
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            try:
                yield format.record(number, row, address)
            except ValueError as error:
                yield Problem(number, str(error))
    except Exception as error:
        # Unlike a bad row, this is never skipped: otherwise a part of the data set would be taken for all of it.
        message = f"{source}:row {number + 1}: {_first_line(error)}; check the data set and the network"
        raise DataFileError(message) from error


def _record(number: int, row: Mapping[str, Any], address: HubAddress) -> Record:
    roles = address.roles
    if len(address.columns) == 2 and not roles:
        roles = dict(zip(("context", "response"), address.columns, strict=True))
    if roles:
        values = {name: plain_value(row[name]) for name in address.columns}
        return build_record(Fields(number, roles, values, Notes(), cells=True))
    value = row[str(address.column)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        chat = read_turns(value, Notes(), named=True)
        return Record(number, chat.turns, chat.persona, speakers=chat.speakers, names=chat.names)
    if not isinstance(value, list):
        raise ValueError(f"the column holds {describe_type(value)}; needed is a list of strings or of messages")
    return Record(number, value)


def _open(source: str, address: HubAddress) -> Iterable[Any]:
    try:
        import datasets
    except ImportError:
        remedy = install_command("train")
        raise ImportError(f"{source}: reading from the Hub needs the library datasets; {remedy}") from None
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
    wanted = [*address.columns, *address.meta_columns]
    for name in wanted:
        if name not in columns:
            missing = f"has no column {name!r}" if name else "the address names no column"
            option = "column" if name in address.columns else "meta"
            raise DataFileError(f"{source}: {missing}; write {option}=... with one of {', '.join(columns)}")
    selected: Iterable[Any] = rows.select_columns(list(dict.fromkeys(wanted)))
    return selected


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


HUB = HubFormat(
    example="hub://org/name?column=dialog&split=train",
    options=("column", "split", "config", "revision"),
    record=_record,
)
