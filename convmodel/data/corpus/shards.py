"""Files of a finished corpus: JSON Lines, plain or compressed, or Parquet."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from convmodel.data.atomic import atomic_file

SUFFIXES = (".jsonl.zst", ".jsonl.gz", ".jsonl", ".parquet")


def write_shard(conversations: Sequence[dict[str, Any]], file: Path) -> None:
    """Write conversations atomically in the format of the file's suffix; equal conversations give equal bytes."""
    with atomic_file(file) as fresh:
        if file.suffix == ".parquet":
            _write_parquet(conversations, fresh)
            return
        lines = b"".join(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in conversations)
        fresh.write_bytes(_compress(lines, file.suffix))


def _compress(lines: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(lines, mtime=0)
    if suffix == ".zst":
        import zstandard

        return zstandard.ZstdCompressor(level=3).compress(lines)
    return lines


def _write_parquet(conversations: Sequence[dict[str, Any]], file: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(conversations)), file, compression="zstd")
