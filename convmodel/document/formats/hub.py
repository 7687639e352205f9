"""The rows of a Hub data set in, records of the documents in them out."""

from collections.abc import Mapping
from typing import Any

from convmodel.document.formats.record import DocumentRecord
from convmodel.formats.hub import HubAddress, HubFormat


def _hub_record(number: int, row: Mapping[str, Any], address: HubAddress) -> DocumentRecord:
    return DocumentRecord(number, row[str(address.column)], meta_of(row, address))


def meta_of(row: Mapping[str, Any], address: HubAddress) -> Any:
    """One column of metadata is the meta, several are its fields."""
    names = address.meta_columns
    return {name: row[name] for name in names} if len(names) > 1 else row[names[0]] if names else None


HUB = HubFormat(
    name="hub",
    human_name="Hub data set",
    unit="row",
    example="hub://org/name?column=text&split=train",
    options=("column", "meta", "split", "config", "revision"),
    record=_hub_record,
)
