"""Parquet files, read in batches of rows."""

import datetime
import math
import tempfile
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from convmodel.data.containers import ByteStream
from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, DataFileError, FileFormat, Item, Problem, Record
from convmodel.data.formats.csv import check_columns
from convmodel.data.shapes.reading import read_items
from convmodel.data.shapes.registry import list_names
from convmodel.errors import install_command

_ROWS = 256  # number of rows that are held in memory at a time
_BLOCK = 2**20


def score(head: Head) -> Certainty:
    """Return SURE if the file begins with the mark of the format, and NONE otherwise."""
    return Certainty.SURE if head.magic.startswith(b"PAR1") else Certainty.NONE


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield one record or problem per row.

    Raises:
        ImportError: when the library `pyarrow` is not installed.
    """
    return read_items(_items(file), file.options, file.notes, cells=True, unit="row")


def _items(file: DataFile) -> Iterator[Item]:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        remedy = install_command("train")
        raise ImportError(f"{file.name}: Parquet files need the library pyarrow; {remedy}") from None
    number = 0
    try:
        with ByteStream(file.file) as stream, tempfile.TemporaryFile() as unpacked:
            while block := stream.read(_BLOCK):
                unpacked.write(block)
            unpacked.seek(0)
            table = ParquetFile(unpacked)
            _check(table.schema_arrow.names, file)
            for batch in table.iter_batches(batch_size=_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield Item(number, plain_value(row))
    except DataFileError as error:
        yield Item(1, None, str(error))
    except Exception as error:  # the library raises many types, and documents none
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        yield Item(number + 1, None, f"the Parquet file is damaged or cut off ({reason}); make or fetch it again")


def _check(names: list[str], file: DataFile) -> None:
    try:
        list_names(names)
        check_columns(names, file.options)
    except ValueError as error:
        raise DataFileError(str(error)) from None


def plain_value(value: Any) -> Any:
    """Convert a value of a table to a JSON value: times become text; NaN, infinity and bytes become None."""
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, Decimal):
        return plain_value(float(value))
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return None if isinstance(value, bytes) else str(value)


PARQUET = FileFormat(name="parquet", human_name="Parquet", unit="row", suffixes=(".parquet",), score=score, read=read)
