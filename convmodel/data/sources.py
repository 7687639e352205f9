"""Input files: paths, folders and globs as lists of files, and the bytes in compressed files and archives."""

import bz2
import errno
import glob
import gzip
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

CONTAINER_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ZSTD = b"\x28\xb5\x2f\xfd"
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
_OFFICE = "[Content_Types].xml"
_PIECE = 2**10  # bytes of a zstd file that are unpacked at once
_DAMAGE = (EOFError, OSError, zlib.error, zipfile.BadZipFile, lzma.LZMAError, RuntimeError)


class DamagedContainer(ValueError):
    """A compressed file or an archive cannot be unpacked from here on."""


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
        """The suffix in lower case, without that of a container."""
        return name_suffix(self.name)


def name_suffix(name: str) -> str:
    """Return the suffix of a file's name in lower case, without that of a container: ".csv" of "a.csv.gz"."""
    name = name.lower()
    stem, suffix = os.path.splitext(name)
    return os.path.splitext(stem)[1] if suffix in CONTAINER_SUFFIXES else suffix


def list_files(source: str, *, noun: str, suffixes: Collection[str]) -> list[InputFile]:
    """Return the files of a source in a fixed order.

    Args:
        source: a path, a glob, or a folder, of which all files with known suffixes are read. Each file of a zip
            archive is a file.
        noun: the name of the items in error messages.
        suffixes: the known suffixes, in lower case.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: see `check_file`; a folder without files of a known suffix is
            an IsADirectoryError.
    """
    if not os.path.lexists(source) and glob.has_magic(source):
        paths = sorted(path for path in glob.glob(source, recursive=True) if os.path.isfile(path))
        if not paths:
            raise FileNotFoundError(f"{source}: no file matches this pattern{_looked_in(source)}; check it")
    elif os.path.isdir(source):
        paths = _folder_files(source, suffixes)
        if not paths:
            known = ", ".join(sorted(suffixes))
            remedy = f"give one file of {noun}s, or a folder of files that end in {known}"
            raise IsADirectoryError(f"{source}: is a folder ({_inside(source)}); {remedy}")
    else:
        check_file(source, noun=noun)
        paths = [source]
    return [file for path in paths for file in _members(path)]


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
        raise IsADirectoryError(f"{path}: is a folder ({_inside(path)}); give one file of {noun}s")
    if not os.path.exists(path):
        hint = "a data set of the Hub is written hub://org/name"
        raise FileNotFoundError(f"{path}: there is no such file{_looked_in(path)}; check the path ({hint})")
    if not os.path.isfile(path):
        raise ValueError(f"{path}: is a pipe or a device, not a file; write it to a file first")


def _looked_in(path: str) -> str:
    return "" if os.path.isabs(path) else f" in {os.getcwd()}"


def _inside(folder: str) -> str:
    return ", ".join(sorted(os.listdir(folder))[:5]) or "it is empty"


def _folder_files(folder: str, suffixes: Collection[str]) -> list[str]:
    """Return the files of a folder and its subfolders that have a known suffix, without hidden ones."""
    found: list[str] = []
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        known = (name for name in names if not name.startswith(".") and _is_known(name, suffixes))
        found.extend(os.path.join(top, name) for name in known)
    return sorted(filter(os.path.isfile, found))


def _is_known(name: str, suffixes: Collection[str]) -> bool:
    return name_suffix(name) in suffixes or name.lower().endswith(".zip")


def _members(path: str) -> Iterable[InputFile]:
    """Return the files of a zip archive, or the file itself. A damaged archive is told when it is read."""
    with open(path, "rb") as file:
        if file.read(4) not in _ZIP:
            return [InputFile(path)]
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except _DAMAGE:
        return [InputFile(path)]
    if _OFFICE in names:
        raise ValueError(f"{path}: is a document of an office program, not text; save it as CSV or plain text")
    kept = [name for name in sorted(names) if not name.startswith("__MACOSX/") and os.path.basename(name)[0] != "."]
    return [InputFile(path, name) for name in kept] or [InputFile(path)]


class ByteStream:
    """The unpacked bytes of a file.

    Args:
        file: the file, plain or compressed, as its first bytes tell.
    """

    def __init__(self, file: InputFile) -> None:
        self._kind = "zip" if file.member else ""
        self._stack = ExitStack()
        try:
            self._file = self._unpack(self._open(file))
        except _DAMAGE as error:
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
        """Return at least one byte and at most `size`; nothing at the end.

        Raises:
            DamagedContainer: when the bytes from here on cannot be unpacked.
        """
        try:
            # read1, because read discards the data before the damage.
            data: bytes = self._file.read1(size)
            return data
        except _DAMAGE as error:
            raise self._damage(error) from None

    def _open(self, file: InputFile) -> Any:
        if file.member is None:
            return self._stack.enter_context(open(file.path, "rb"))
        archive = self._stack.enter_context(zipfile.ZipFile(file.path))
        return self._stack.enter_context(archive.open(file.member))

    def _unpack(self, raw: Any) -> Any:
        head = raw.peek(10)[:10]
        if head[:4] in _ZIP:
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
        # An invalid position is one that the archive gives.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            return error  # of the disk, not of the container
        if isinstance(error, RuntimeError):
            return DamagedContainer(f"the {self._kind} file cannot be unpacked ({error}); unpack it first")
        return DamagedContainer(f"the {self._kind} file is damaged or cut off ({error}); make or fetch it again")


def _find_container(head: bytes) -> tuple[str, Callable[[Any], Any] | None]:
    """Return the name of the container that begins with some bytes, and a function from a file to its content."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip", lambda raw: gzip.GzipFile(fileobj=raw)
    if head.startswith(b"BZh") and head[4:] in _BZIP2_BLOCKS:
        return "bzip2", bz2.BZ2File
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz", lzma.LZMAFile
    return ("zstd", _ZstdFile) if head.startswith(_ZSTD) else ("", None)


class _ZstdFile:
    """The unpacked bytes of a zstd file. Unlike the library's own reader it raises for a file that was cut off."""

    def __init__(self, raw: Any) -> None:
        try:
            import zstandard
        except ImportError:
            raise ImportError("zstd files need the library zstandard; pip install zstandard") from None
        self._raw = raw
        self._error = zstandard.ZstdError
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._rest = b""

    def __enter__(self) -> "_ZstdFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._rest = b""

    def read1(self, size: int) -> bytes:
        while not self._rest:
            packed = self._raw.read(_PIECE)
            if not packed:
                if self._frame is not None:
                    raise EOFError("the last frame has no end")
                return b""
            try:
                self._rest = self._decompress(packed)
            except self._error as error:
                raise EOFError(str(error)) from None
        data = self._rest[:size]
        self._rest = self._rest[size:]
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
