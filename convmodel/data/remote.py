"""Files at addresses such as s3://bucket/train-*.jsonl.zst, by the library fsspec."""

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import has_magic
from typing import Any, BinaryIO

_ADDRESS = re.compile(r"(?!hub://)[a-z][a-z0-9+.-]*://")


def is_remote(path: str) -> bool:
    """Return whether a path is an address of fsspec, such as `s3://...`, and not `hub://...`."""
    return _ADDRESS.match(path) is not None


def open_binary(path: str) -> BinaryIO:
    """Open a local or remote file to read its bytes.

    Raises:
        FileNotFoundError: when there is no such file.
        ImportError: when fsspec needs a further library for the kind of address.
        OSError: when the file cannot be read.
    """
    if not is_remote(path):
        return open(path, "rb")
    system, place = _find_system(path)
    with _named(path):
        return io.BufferedReader(system.open(place, "rb"))


def file_size(path: str) -> int:
    """Return the size of a local or remote file in bytes; for errors see `open_binary`."""
    if not is_remote(path):
        return os.path.getsize(path)
    system, place = _find_system(path)
    with _named(path):
        return int(system.size(place))


def remote_digest(path: str) -> str:
    """Return a digest of properties that identify the content of a remote file, such as size and time, or ETag."""
    system, place = _find_system(path)
    with _named(path):
        return hashlib.blake2b(f"{path} {system.ukey(place)}".encode(), digest_size=16).hexdigest()


def list_remote(address: str, is_known: Callable[[str], bool], others: list[str]) -> list[str]:
    """Return the addresses of a file, of the files of a glob, or of the files of a folder with a known name.

    Args:
        address: the address.
        is_known: whether a file of a folder is to be read, by its name.
        others: the list to which the other files of a folder are added.

    Raises:
        FileNotFoundError: when there is no such file.
        ImportError, OSError: see `open_binary`.
    """
    system, place = _find_system(address)
    with _named(address):
        if has_magic(place):
            found = [path for path in sorted(system.glob(place)) if system.isfile(path)]
        elif system.isdir(place):
            found = sorted(system.find(place))
            others += [system.unstrip_protocol(path) for path in found if not is_known(path)]
            found = [path for path in found if is_known(path)]
        else:
            found = [place] if system.exists(place) else []
    if not found:
        raise FileNotFoundError(f"{address}: no file is there that could be read; check the address")
    return [system.unstrip_protocol(path) for path in found]


def _find_system(path: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it."""
    from fsspec.core import url_to_fs

    try:
        system, place = url_to_fs(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; allowed are local paths, hub://... and the addresses of fsspec") from None
    except ImportError as error:
        raise ImportError(f"{path}: {error}") from None
    return system, place


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Turn an error of a file system inside the block into an OSError that names the address."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file; check the address") from None
    except Exception as error:  # file systems raise errors of their libraries
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        remedy = "check the address, and the credentials of its library"
        raise OSError(f"{path}: cannot be read ({reason}); {remedy}") from error
