"""Parquet files, read in batches of rows."""

import datetime
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from convmodel.data.data_file import DataFile, Head
from convmodel.data.formats.base import Certainty, FileFormat, Item, Problem, Record
from convmodel.data.formats.csv import check_columns
from convmodel.data.shapes.reading import read_items
from convmodel.data.sources import ByteStream, DamagedContainer

_BATCH = 256  # rows


def score(head: Head) -> Certainty:
    """Return the certainty: the file begins with the mark of the format."""
    return Certainty.SURE if head.magic == b"PAR1" else Certainty.NONE


def read(file: DataFile) -> Iterator[Record | Problem]:
    """Yield one record or problem per row.

    Raises:
        ImportError: when the library `pyarrow` is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        remedy = 'pip install "convmodel[train]"'
        raise ImportError(f"{file.name}: Parquet files need the library pyarrow; {remedy}") from None
    number = 0
    try:
        with ByteStream(file.file) as stream:
            table = pyarrow.parquet.ParquetFile(stream.seekable_file())
            check_columns(table.schema_arrow.names, file.options)
            for record in read_items(_rows(table), file.options, file.notes, cells=True, unit="row"):
                number = record.line
                yield record
    except (pyarrow.ArrowException, DamagedContainer, OSError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        yield Problem(number + 1, f"the Parquet file is damaged or cut off ({reason}); make or fetch it again")
    except ValueError as error:
        yield Problem(number + 1, str(error))


def _rows(table: Any) -> Iterator[Item]:
    number = 0
    for batch in table.iter_batches(batch_size=_BATCH):
        for row in batch.to_pylist():
            number += 1
            yield Item(number, plain_value(row))


def plain_value(value: Any) -> Any:
    """Return a value of a table as JSON can hold it: times as text, missing numbers as null, bytes as null."""
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
