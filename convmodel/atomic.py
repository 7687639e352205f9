"""Files and folders that are, at any moment, either the old ones or the new ones."""

import contextlib
import ctypes
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives an empty folder to write into, which takes the place of `path` when the block ends without an error.

    On Linux and macOS the two folders are exchanged in one step. Where the system or the file system cannot do that,
    the old folder is moved aside first: a kill between the two moves leaves it beside, named `.NAME.old-...`.
    """
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new-{uuid.uuid4().hex[:12]}")
    fresh.mkdir()
    try:
        yield fresh
        for file in fresh.rglob("*"):
            if file.is_file():
                _flush(file)
        _flush(fresh)
        _put_in_place(fresh, target)
        _flush(target.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives the name of a file to write, which takes the place of `path` when the block ends without an error."""
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new-{uuid.uuid4().hex[:12]}")
    try:
        yield fresh
        _flush(fresh)
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Makes what was written survive a power cut; folders cannot be opened on Windows, where this does nothing."""
    if path.is_dir() and sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() or sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(fresh: Path, target: Path) -> None:
    """Moves `fresh` to `target`; what stood there comes to stand at `fresh`, to be removed."""
    if not target.exists():
        os.rename(fresh, target)
    elif not _exchange(fresh, target):
        aside = target.with_name(f".{target.name}.old-{uuid.uuid4().hex[:12]}")
        os.rename(target, aside)
        os.rename(fresh, target)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two paths in one step; False where the system cannot.

    Source: renameat2(2) with RENAME_EXCHANGE = 2 on Linux; renamex_np(2) with RENAME_SWAP = 2 on macOS.
    """
    first, second = os.fsencode(one), os.fsencode(other)
    with contextlib.suppress(AttributeError, OSError):
        if sys.platform.startswith("linux"):
            at_working_folder = -100
            libc = ctypes.CDLL(None, use_errno=True)
            return bool(libc.renameat2(at_working_folder, first, at_working_folder, second, 2) == 0)
        if sys.platform == "darwin":
            return bool(ctypes.CDLL(None).renamex_np(first, second, 2) == 0)
    return False
