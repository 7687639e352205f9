"""Lines of dumps, and files of rows between the steps of a corpus."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from convmodel.data.containers import ByteStream, DamagedContainer, InputFile

LARGEST_LINE = 16 * 2**20
"""Largest number of bytes of a line that is read."""

_PIECE = 2**20
_HELD = 32 * 2**20
"""Number of bytes of rows that are held in memory."""

_LEVEL = 1
"""Compression level of zstandard, the quickest."""

Row = list[Any]
"""A row between two steps: values of JSON."""


def read_lines(path: str) -> Iterator[bytes | None]:
    """Yield the lines of a plain or compressed file, without their ends; None for a line above `LARGEST_LINE`.

    Raises:
        DamagedContainer: when a compressed file is damaged or cut off.
    """
    begun: list[bytes] = []
    size = 0
    for piece in _pieces(path):
        lines = piece.split(b"\n")
        last = lines.pop()
        if lines:
            begun.append(lines[0])
            yield _joined(begun, size + len(lines[0]))
            yield from lines[1:]
            begun = []
            size = 0
        size += len(last)
        if size <= LARGEST_LINE:
            begun.append(last)
    if size:
        yield _joined(begun, size)


def _joined(parts: Sequence[bytes], size: int) -> bytes | None:
    """Join the parts of a line of `size` bytes; return None if it is longer than `LARGEST_LINE`."""
    return b"".join(parts) if size <= LARGEST_LINE else None


def _pieces(path: str) -> Iterator[bytes]:
    """Yield the decompressed bytes of a file."""
    try:
        with ByteStream(InputFile(path)) as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except DamagedContainer as error:
        raise DamagedContainer(f"{path}: {error}") from None


class BucketWriter:
    """Writer of rows to the compressed files of buckets in a folder. Equal rows give equal files.

    Args:
        folder: an existing folder.
        buckets: number of buckets; those without rows get no file.
    """

    def __init__(self, folder: Path, buckets: int) -> None:
        import zstandard

        self._files = [bucket_file(folder, bucket) for bucket in range(buckets)]
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._pending: list[list[bytes]] = [[] for _ in range(buckets)]
        self._size = 0

    def add(self, bucket: int, row: Row) -> None:
        """Add a row to a bucket."""
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        self._pending[bucket].append(line)
        self._size += len(line)
        if self._size >= _HELD:
            self.flush()

    def flush(self) -> None:
        """Append the rows that are held in memory to the files."""
        for bucket, lines in enumerate(self._pending):
            if lines:
                with open(self._files[bucket], "ab") as file:
                    file.write(self._compress(b"".join(lines)))
                lines.clear()
        self._size = 0


def bucket_file(folder: Path, bucket: int) -> Path:
    """Return the file of a bucket in the folder of a step."""
    return folder / f"{bucket:05d}.jsonl.zst"


def read_rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a file that `write_rows` wrote."""
    for line in read_lines(str(file)):
        yield orjson.loads(line or b"[]")
