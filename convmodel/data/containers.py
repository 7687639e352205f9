"""Input files and their decompressed bytes: gzip, bzip2, xz, zstandard, and files in zip archives."""

import bz2
import errno
import gzip
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from convmodel.data.remote import open_binary

CONTAINER_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")

ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06")
"""The first bytes of a zip archive."""

DAMAGE = (EOFError, OSError, zlib.error, zipfile.BadZipFile, lzma.LZMAError, RuntimeError)
"""Errors that the libraries for decompression raise for damaged data, or (RuntimeError) if a password is needed."""

_ZSTD = b"\x28\xb5\x2f\xfd"
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
_PIECE = 2**14
"""Number of compressed bytes of a zstd file that are decompressed at once."""

_LARGEST_WINDOW = 2**31
"""Largest window of a zstd file that is accepted: that of Reddit's dumps, made with `zstd --long=31`."""


class DamagedContainer(ValueError):
    """A compressed file or an archive is damaged, so that the rest of it cannot be decompressed."""


@dataclass(frozen=True)
class InputFile:
    """A file of a source.

    Args:
        path: the path of the file, or of the zip archive that holds it.
        member: the name of the file in the archive.
    """

    path: str
    member: str | None = None

    @property
    def name(self) -> str:
        """The name in messages: "chats.zip/inner.json" for a file in an archive."""
        return f"{self.path}/{self.member}" if self.member else self.path

    @property
    def suffix(self) -> str:
        """The suffix in lower case, ignoring that of a container; see `name_suffix`."""
        return name_suffix(self.name)


def name_suffix(name: str) -> str:
    """Return the suffix of a file name in lower case, ignoring that of a container: ".csv" for "a.csv.gz"."""
    name = name.lower()
    stem, suffix = os.path.splitext(name)
    return os.path.splitext(stem)[1] if suffix in CONTAINER_SUFFIXES else suffix


class ByteStream:
    """Stream of the decompressed bytes of a file.

    Args:
        file: the file. Its first bytes, not its name, show whether it is compressed and how.
    """

    def __init__(self, file: InputFile) -> None:
        self._kind = "zip" if file.member else ""
        self._stack = ExitStack()
        try:
            self._file = self._unpack(self._open(file))
        except DAMAGE as error:
            self._stack.close()
            raise self._damage(error) from None
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> "ByteStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, size: int) -> bytes:
        """Return at least one byte and at most `size` bytes; b"" at the end of the file.

        Raises:
            DamagedContainer: when the rest of the file cannot be decompressed.
        """
        try:
            # read1, because read discards the data before the damage.
            data: bytes = self._file.read1(size)
            return data
        except DAMAGE as error:
            raise self._damage(error) from None

    def _open(self, file: InputFile) -> Any:
        if file.member is None:
            return self._stack.enter_context(open_binary(file.path))
        packed = self._stack.enter_context(open_binary(file.path))
        archive = self._stack.enter_context(zipfile.ZipFile(packed))
        return self._stack.enter_context(archive.open(file.member))

    def _unpack(self, raw: Any) -> Any:
        head = raw.peek(10)[:10]
        if head[:4] in ZIP_MARKS:
            self._kind = "zip"
            raise EOFError(
                "an archive in an archive" if isinstance(raw, zipfile.ZipExtFile) else "no list of its files"
            )
        kind, opened = _find_container(head)
        if opened is None:
            return raw
        self._kind = kind
        return self._stack.enter_context(opened(raw))

    def _damage(self, error: BaseException) -> BaseException:
        """Return the error to raise: a DamagedContainer, or the given error if the disk caused it."""
        # EINVAL is damage: the archive gives an invalid position.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            return error  # an error of the disk, not of the container
        if isinstance(error, RuntimeError):
            return DamagedContainer(f"the {self._kind} file cannot be unpacked ({error}); unpack it first")
        return DamagedContainer(f"the {self._kind} file is damaged or cut off ({error}); make or fetch it again")


def _find_container(head: bytes) -> tuple[str, Callable[[Any], Any] | None]:
    """Return the name of the compression that the first bytes of a file show, and a function that opens the file.

    The result is ("", None) for a file that is not compressed.
    """
    if head.startswith(b"\x1f\x8b"):
        return "gzip", lambda raw: gzip.GzipFile(fileobj=raw)
    if head.startswith(b"BZh") and head[4:] in _BZIP2_BLOCKS:
        return "bzip2", bz2.BZ2File
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz", lzma.LZMAFile
    return ("zstd", _ZstdFile) if head.startswith(_ZSTD) else ("", None)


class _ZstdFile:
    """Decompressed bytes of a zstd file. Unlike the reader of `zstandard`, it raises EOFError for a cut-off file."""

    def __init__(self, raw: Any) -> None:
        try:
            import zstandard
        except ImportError:
            raise ImportError("zstd files need the library zstandard; pip install zstandard") from None
        self._raw = raw
        self._error = zstandard.ZstdError
        self._new_frame = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj
        self._frame: Any = None
        self._rest = b""
        self._place = 0

    def __enter__(self) -> "_ZstdFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._rest = b""
        self._place = 0

    def read1(self, size: int) -> bytes:
        while self._place == len(self._rest):
            packed = self._raw.read(_PIECE)
            if not packed:
                if self._frame is not None:
                    raise EOFError("the last frame has no end")
                return b""
            try:
                self._rest = self._decompress(packed)
                self._place = 0
            except self._error as error:
                raise EOFError(str(error)) from None
        data = self._rest[self._place : self._place + size]
        self._place += len(data)
        return data

    def _decompress(self, packed: bytes) -> bytes:
        pieces: list[bytes] = []
        while packed:
            if self._frame is None:
                self._frame = self._new_frame()
            pieces.append(self._frame.decompress(packed))
            if not self._frame.eof:
                break
            packed = self._frame.unused_data
            self._frame = None
        return b"".join(pieces)
