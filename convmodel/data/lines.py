"""Reading lines of plain or gzipped files in bounded memory, parsing JSON lines, and replacing files atomically."""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from typing import Any

from convmodel.data.atomic import atomic_file, check_file_writable
from convmodel.data.formats.base import DataFileError, Problem, RecordT, TextLine, shorten

DEFAULT_MAX_LINE_BYTES = 16 * 2**20

_BOM = b"\xef\xbb\xbf"
_UTF_16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_PIECE = 2**16  # bytes: for the beginning of a file, and for discarding the rest of a long line
_GZIP_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)


def open_bytes(path: str) -> BufferedIOBase:
    """Open a file for reading; a gzipped file, detected by its first two bytes, is decompressed."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.GzipFile(path, "rb") if zipped else open(path, "rb")


def check_file(path: str, *, noun: str = "conversation") -> None:
    """Check that `path` is a regular file.

    Args:
        path: the path to check.
        noun: the name of the file's items in error messages.

    Raises:
        FileNotFoundError: when the path does not exist.
        IsADirectoryError: when it is a folder.
        ValueError: when it is a pipe or a device.
    """
    if os.path.isdir(path):
        inside = ", ".join(sorted(os.listdir(path))[:5]) or "it is empty"
        raise IsADirectoryError(f"{path}: is a folder ({inside}); give one file of {noun}s")
    if not os.path.exists(path):
        looked = "" if os.path.isabs(path) else f" in {os.getcwd()}"
        raise FileNotFoundError(
            f"{path}: there is no such file{looked}; check the path (a data set of the Hub is written hub://org/name)"
        )
    if not os.path.isfile(path):
        raise ValueError(f"{path}: is a pipe or a device, not a file; write it to a file first")


def first_lines(path: str, *, count: int = 20) -> list[str]:
    """Return the first non-blank lines of a file, for detecting its format.

    Args:
        path: a plain or gzipped file; a damaged file is allowed.
        count: the maximum number of lines.

    Returns:
        Lines without line ends; empty when the file is blank, or nothing of it can be decompressed.

    Raises:
        DataFileError: when the file is UTF-16.
    """
    head = b""
    with open_bytes(path) as file, suppress(*_GZIP_DAMAGE):
        # read1, because read discards the data before the damage.
        while len(head) < _PIECE and (piece := file.read1(_PIECE - len(head))):
            head += piece
    if head.startswith(_UTF_16_BOMS):
        raise DataFileError(f"{path}:1: is UTF-16, not UTF-8; save it as UTF-8")
    lines = head.removeprefix(_BOM).decode("utf-8", "replace").split("\n")
    return [line.rstrip("\r") for line in lines if line.strip()][:count]


def read_lines(path: str, *, max_line_bytes: int = DEFAULT_MAX_LINE_BYTES) -> Iterator[TextLine]:
    """Read the lines of a file.

    Args:
        path: a plain or gzipped file in UTF-8, with or without BOM, whose lines end in LF or CRLF.
        max_line_bytes: the length limit of a line, including its end. A longer line is a problem, and is never held
            in memory.

    Yields:
        Every line, including blank lines. Damage is reported in `TextLine.problem`; a damaged gzip file ends there.
    """
    offset = 0
    number = 0
    with open_bytes(path) as file:
        while True:
            number += 1
            problem: str | None
            try:
                raw = file.readline(max_line_bytes + 1)
                if len(raw) > max_line_bytes:
                    ends, length = _skip_line(file, raw)
                    text = ends.decode("utf-8", "replace")
                    problem = _too_long_message(max_line_bytes)
                else:
                    text, problem = _decode(raw, offset)
                    length = len(raw)
            except _GZIP_DAMAGE as error:
                yield TextLine(number, "", f"the gzip file is damaged or cut off ({error}); make or fetch it again")
                return
            if not raw:
                return
            offset += length
            yield TextLine(number, text.rstrip("\r\n"), problem)


def _too_long_message(limit: int) -> str:
    return f"the line is longer than max_line_bytes={limit:,}; split it or raise the limit"


def _decode(raw: bytes, offset: int) -> tuple[str, str | None]:
    if not offset and raw.startswith(_BOM):
        raw = raw.removeprefix(_BOM)
        offset = len(_BOM)
    try:
        return raw.decode(), None
    except UnicodeDecodeError as error:
        at = error.start
        where = f"byte 0x{raw[at]:02x} at offset {offset + at} (byte {at + 1} of the line)"
        return raw.decode("utf-8", "replace"), f"not UTF-8: {where}; save the file as UTF-8"


def _skip_line(file: BufferedIOBase, head: bytes) -> tuple[bytes, int]:
    """Read to the end of the line that begins with `head`; return the first and last bytes of the line, and its length.

    A format needs both ends to keep track of episodes.
    """
    tail = head[-100:]
    length = len(head)
    while not tail.endswith(b"\n") and (piece := file.readline(_PIECE)):
        tail = (tail + piece)[-100:]
        length += len(piece)
    return head[:100] + tail, length


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
    for number, text, problem in lines:
        if problem is not None:
            yield Problem(number, problem)
        elif text and not text.isspace():
            try:
                yield parse(number, text)
            except ValueError as error:
                yield Problem(number, str(error))


decode_json = json.JSONDecoder().decode
encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

_PYTHON = ("'", "None", "True", "False")
"""Beginnings of Python literals that are not JSON."""


def parse_json(text: str, *, noun: str, wanted: str, python: str = "write it with json.dumps") -> Any:
    """Return the JSON value of a line.

    Args:
        text: the line.
        noun: the name of the items of the file in error messages.
        wanted: the remedy for a line that is not JSON: "write a list of turns".
        python: the remedy for a line that is a Python literal.

    Raises:
        ValueError: when the line is not JSON; the message gives the reason and a remedy.
    """
    try:
        return decode_json(text)
    except json.JSONDecodeError as error:
        position = f"found {shorten(text[error.pos :], 20)!r}" if error.pos < len(text) else "at the end of the line"
        what = f"not JSON: {error.msg.lower()} at column {error.pos + 1}, {position}"
        if text.strip() in ("[", "{"):
            raise ValueError(f"{what}; the JSON goes over several lines: write one {noun} a line") from None
        if text.startswith(_PYTHON, error.pos):
            raise ValueError(f"{what}; this looks like Python (single quotes, None): {python}") from None
        raise ValueError(f"{what}; {wanted}") from None
    except RecursionError:
        raise ValueError(f"the JSON is nested too deeply; {wanted}") from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise ValueError(f"not readable as JSON ({error}); {wanted}") from None
