"""Reading lines of files in bounded memory, and replacing files atomically."""

import gzip
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from typing import Any

from convmodel.data.atomic import atomic_file, check_file_writable
from convmodel.data.containers import ByteStream, DamagedContainer, InputFile
from convmodel.data.encodings import Utf8Stream
from convmodel.data.formats.base import Item, Problem, RecordT, TextLine
from convmodel.data.options import DEFAULT_MAX_LINE_BYTES, name_option
from convmodel.data.sources import check_file

__all__ = [
    "DEFAULT_MAX_LINE_BYTES",
    "check_file",
    "open_atomic",
    "open_utf8",
    "parse_items",
    "parse_lines",
    "read_head",
    "read_lines",
    "split_head",
]

_HEAD = 2**16  # bytes at the beginning of a file from which its format is recognised
_KEPT = 100  # bytes that are kept of the beginning, and of the end, of a line that is too long
_ENDS = (b"\n", b"\r")


@contextmanager
def open_utf8(file: InputFile, encoding: str | None = None) -> Iterator[Utf8Stream]:
    """Open a file as a stream of UTF-8: decompressed, and converted from its encoding.

    Args:
        file: the file.
        encoding: the encoding of a file without a byte order mark; UTF-8 by default.

    Raises:
        DamagedContainer: when not even the beginning of the file can be decompressed.
    """
    with ByteStream(file) as stream:
        yield Utf8Stream(stream, encoding)


def read_head(file: InputFile, encoding: str | None = None) -> str:
    """Return the first 64 KiB of a file as text, or less if the file is damaged. Undecodable bytes are replaced."""
    head = b""
    with suppress(DamagedContainer), open_utf8(file, encoding) as stream:
        for block in stream:
            head += block
            if len(head) >= _HEAD:
                break
    return head[:_HEAD].decode("utf-8", "replace")


def split_head(text: str) -> list[str]:
    """Return the non-blank lines of a text, without line ends."""
    return [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]


def read_lines(
    file: str | InputFile, *, max_line_bytes: int = DEFAULT_MAX_LINE_BYTES, encoding: str | None = None
) -> Iterator[TextLine]:
    """Read the lines of a file.

    Args:
        file: a plain or compressed file, whose lines end in LF, CRLF or CR.
        max_line_bytes: the length limit of a line in UTF-8, including its end. A longer line is a problem, and is
            never held in memory.
        encoding: the encoding of a file without a byte order mark; UTF-8 by default.

    Yields:
        Every line, including blank lines. Damage is reported in `TextLine.problem`. If the container is damaged, the
        line with that problem is the last one.
    """
    file = InputFile(file) if isinstance(file, str) else file
    offset = 0
    number = 0
    try:
        with open_utf8(file, encoding) as stream:
            for number, (raw, length) in enumerate(_split_lines(stream, max_line_bytes), 1):
                if length > max_line_bytes:
                    limit = name_option("max_line_bytes", max_line_bytes)
                    problem = f"the line is longer than {limit}; split it or raise the limit"
                    yield TextLine(number, _strip_end(raw.decode("utf-8", "replace")), problem)
                else:
                    yield _decode(number, raw, stream, offset)
                offset += length
    except DamagedContainer as error:
        yield TextLine(number + 1, "", str(error))


def _decode(number: int, raw: bytes, stream: Utf8Stream, offset: int) -> TextLine:
    try:
        return TextLine(number, _strip_end(raw.decode()))
    except UnicodeDecodeError as error:
        problem = stream.describe_undecodable(raw, error, offset)
        return TextLine(number, _strip_end(raw.decode("utf-8", "replace")), problem)


def _strip_end(text: str) -> str:
    return text.rstrip("\r\n")


def _split_lines(blocks: Iterable[bytes], limit: int) -> Iterator[tuple[bytes, int]]:
    """Yield each line, including its line end, and its length in bytes.

    Of a line longer than the limit, only the first and the last bytes are yielded.
    """
    line = _PartialLine(limit)
    held = b""  # a CR at the end of a block: the next block may begin with its LF
    for block in blocks:
        block = held + block
        held = b"\r" if block.endswith(b"\r") else b""
        for piece in block[: len(block) - len(held)].splitlines(keepends=True):
            if not line.length and len(piece) <= limit and piece.endswith(_ENDS):
                yield piece, len(piece)
                continue
            line.add(piece)
            if piece.endswith(_ENDS):
                yield line.finish()
    line.add(held)
    if line.length:
        yield line.finish()


class _PartialLine:
    """A line that is assembled from pieces, up to its line end.

    Of a line longer than the limit, only the first and the last bytes are kept: formats need them to follow the
    structure of the file.

    Args:
        limit: the length limit in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._tail: bytes | None = None
        self.length = 0

    def add(self, piece: bytes) -> None:
        self.length += len(piece)
        if self._tail is not None:
            self._tail = (self._tail + piece)[-_KEPT:]
            return
        self._parts.append(piece)
        if self.length > self._limit:
            whole = b"".join(self._parts)
            self._parts = [whole[:_KEPT]]
            self._tail = whole[-_KEPT:]

    def finish(self) -> tuple[bytes, int]:
        """Return the line and its length in bytes, and begin the next line."""
        found = b"".join([*self._parts, self._tail or b""]), self.length
        self._parts = []
        self._tail = None
        self.length = 0
        return found


@contextmanager
def open_atomic(path: str) -> Iterator[BufferedIOBase]:
    """Open a temporary file that replaces `path` when the block ends without an error, and is removed otherwise.

    Args:
        path: the file to replace; gzipped if its name ends in .gz.

    Raises:
        OSError, ValueError: see `check_file_writable`.
    """
    check_file_writable(path)
    with atomic_file(path) as fresh, open(fresh, "wb") as file:
        if path.endswith(".gz"):
            # Without a name and a time in the header, equal contents give equal bytes.
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                yield packed
        else:
            yield file


def parse_lines(lines: Iterator[TextLine], parse: Callable[[int, str], RecordT]) -> Iterator[RecordT | Problem]:
    """Parse each line as one record; blank lines are ignored.

    Args:
        lines: the lines of a file.
        parse: a function from the number and the text of a line to its record; it raises ValueError for an invalid
            line.

    Yields:
        One record or problem per line.
    """
    return parse_items((line for line in lines if line.problem or line.text.strip()), parse)


def parse_items(items: Iterable[TextLine | Item], parse: Callable[[int, Any], RecordT]) -> Iterator[RecordT | Problem]:
    """Parse each value, or each line, as one record; see `parse_lines`."""
    for number, value, problem, *_ in items:
        try:
            if problem is not None:
                raise ValueError(problem)
            yield parse(number, value)
        except ValueError as error:
            yield Problem(number, str(error))
