"""A path in, its lines out, plain or gzipped, in bounded memory; and files replaced whole or not at all."""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from typing import Any

from convmodel.data.atomic import atomic_file
from convmodel.data.formats.base import DataFileError, Line, Problem, RecordT, shorten

DEFAULT_MAX_LINE_BYTES = 16 * 2**20

_BOM = b"\xef\xbb\xbf"
_UTF_16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_PIECE = 2**16  # bytes: for the beginning of a file, and for what is read only to be thrown away
_GZIP_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)


def open_bytes(path: str) -> BufferedIOBase:
    """Opens a file for reading; a gzipped one, recognised by its first two bytes, is unpacked."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.GzipFile(path, "rb") if zipped else open(path, "rb")


def check_is_file(path: str, *, noun: str = "conversation") -> None:
    """Raises FileNotFoundError, IsADirectoryError or ValueError, with what to do, when `path` is no file.

    Args:
        path: what is to be read.
        noun: what is looked for in it.
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
    """The first lines of a file which are not blank, for recognising its format.

    Args:
        path: a file, plain or gzipped, damaged or not.
        count: at most so many lines.

    Returns:
        Lines without their ends; empty when the file is blank or nothing of it can be unpacked.

    Raises:
        DataFileError: when the file is UTF-16.
    """
    head = b""
    with open_bytes(path) as file, suppress(*_GZIP_DAMAGE):
        # read1, because read loses what came before the damage.
        while len(head) < _PIECE and (piece := file.read1(_PIECE - len(head))):
            head += piece
    if head.startswith(_UTF_16_BOMS):
        raise DataFileError(f"{path}:1: is UTF-16, not UTF-8; save it as UTF-8")
    lines = head.removeprefix(_BOM).decode("utf-8", "replace").split("\n")
    return [line.rstrip("\r") for line in lines if line.strip()][:count]


def read_lines(path: str, *, max_line_bytes: int = DEFAULT_MAX_LINE_BYTES) -> Iterator[Line]:
    """Yields the lines of a file.

    Args:
        path: a file, plain or gzipped; UTF-8 with or without BOM; lines end in LF or CRLF.
        max_line_bytes: a longer line (its end included) is a problem, and is never held in memory.

    Yields:
        Every line, blank ones too. Damage is told in `Line.problem`; damage of a gzip file ends the file.
    """
    offset = number = 0
    with open_bytes(path) as file:
        while True:
            number += 1
            problem: str | None
            try:
                raw = file.readline(max_line_bytes + 1)
                if len(raw) > max_line_bytes:
                    ends, length = _skip_line(file, raw)
                    text, problem = ends.decode("utf-8", "replace"), _too_long(max_line_bytes)
                else:
                    text, problem = _decode(raw, offset)
                    length = len(raw)
            except _GZIP_DAMAGE as error:
                yield Line(number, "", f"the gzip file is damaged or cut off ({error}); make or fetch it again")
                return
            if not raw:
                return
            offset += length
            yield Line(number, text.rstrip("\r\n"), problem)


def _too_long(limit: int) -> str:
    return f"the line is longer than max_line_bytes={limit:,}; split it or raise the limit"


def _decode(raw: bytes, offset: int) -> tuple[str, str | None]:
    if not offset and raw.startswith(_BOM):
        raw, offset = raw.removeprefix(_BOM), len(_BOM)
    try:
        return raw.decode(), None
    except UnicodeDecodeError as error:
        at = error.start
        where = f"byte 0x{raw[at]:02x} at offset {offset + at} (byte {at + 1} of the line)"
        return raw.decode("utf-8", "replace"), f"not UTF-8: {where}; save the file as UTF-8"


def _skip_line(file: BufferedIOBase, head: bytes) -> tuple[bytes, int]:
    """Reads to the end of the line that begins with `head`; returns its two ends, and its length in bytes."""
    tail, length = head[-100:], len(head)
    while not tail.endswith(b"\n") and (piece := file.readline(_PIECE)):
        tail, length = (tail + piece)[-100:], length + len(piece)
    return head[:100] + tail, length


@contextmanager
def replacing(path: str) -> Iterator[BufferedIOBase]:
    """Opens a file that takes the place of `path` when the block ends well, and otherwise leaves no trace.

    Args:
        path: gzipped when it ends in .gz.

    Raises:
        FileNotFoundError: when the folder does not exist.
        IsADirectoryError: when `path` is a folder.
    """
    path = os.path.realpath(path)  # a link stays a link
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path}: there is no folder {folder}; make it first")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: is a folder; give the name of a file")
    with atomic_file(path) as fresh, open(fresh, "wb") as file:
        if path.endswith(".gz"):
            # No name and no time inside: the same conversations give the same bytes.
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                yield packed
        else:
            yield file


def one_a_line(lines: Iterator[Line], record: Callable[[int, str], RecordT]) -> Iterator[RecordT | Problem]:
    """One record or problem a line; blank lines are ignored.

    Args:
        lines: of a file.
        record: the number of a line and its text -> what is in it. It raises ValueError when that is nothing.
    """
    for number, text, problem in lines:
        if problem is not None:
            yield Problem(number, problem)
        elif text and not text.isspace():
            try:
                yield record(number, text)
            except ValueError as error:
                yield Problem(number, str(error))


decode = json.JSONDecoder().decode
encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

_PYTHON = ("'", "None", "True", "False")


def parse(text: str, *, noun: str, wanted: str, python: str = "write it with json.dumps") -> Any:
    """The value that a line holds.

    Args:
        text: the line.
        noun: what is written one a line.
        wanted: the cure: "write a list of turns".
        python: the cure where the line is none of JSON but of Python.

    Raises:
        ValueError: when it is no JSON; the text says why and what to do.
    """
    try:
        return decode(text)
    except json.JSONDecodeError as error:
        found = f"found {shorten(text[error.pos :], 20)!r}" if error.pos < len(text) else "at the end of the line"
        what = f"not JSON: {error.msg.lower()} at column {error.pos + 1}, {found}"
        if text.strip() in ("[", "{"):
            raise ValueError(f"{what}; the JSON goes over several lines: write one {noun} a line") from None
        if text.startswith(_PYTHON, error.pos):
            raise ValueError(f"{what}; this looks like Python (single quotes, None): {python}") from None
        raise ValueError(f"{what}; {wanted}") from None
    except RecursionError:
        raise ValueError(f"the JSON is nested too deeply; {wanted}") from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise ValueError(f"not readable as JSON ({error}); {wanted}") from None
