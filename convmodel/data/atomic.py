"""Atomic replacement of files and folders, checks that they can be written, and file locks."""

import contextlib
import ctypes
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replace: bool = True) -> Iterator[Path]:
    """Yield an empty folder that replaces `path` when the block ends without an error, and is removed otherwise.

    On Linux and macOS the two folders are exchanged in one step. If the system or the file system does not support
    that, the old folder is moved aside first: a kill between the two moves leaves it as `.NAME.old-...` beside `path`.

    Args:
        path: the folder to create or replace; a symbolic link is followed. Missing parent folders are created.
        replace: whether to replace a folder that exists when the block ends; if not, the new folder is discarded.

    Raises:
        FileExistsError: when `path`, or one of its parents, is a file.
    """
    _existing_folder(path)
    target = Path(os.path.realpath(path))
    with _temporary_folder(target) as folder:
        fresh = folder / target.name
        fresh.mkdir()
        yield fresh
        for inside in fresh.rglob("*"):
            if inside.exists():  # not a broken link
                flush(inside)
        flush(fresh)
        _move_into_place(fresh, target, replace=replace)
        flush(target.parent)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a file to write, which replaces `path` when the block ends without an error.

    Args:
        path: the file to create or replace; a symbolic link is followed. Missing parent folders are created.
    """
    target = Path(os.path.realpath(path))
    with _temporary_folder(target) as folder:
        fresh = folder / target.name
        yield fresh
        flush(fresh)
        os.replace(fresh, target)
        flush(target.parent)


def check_file_writable(path: str | os.PathLike[str]) -> None:
    """Check that `atomic_file` can create or replace a file. Call it before the work whose result will be written.

    Raises:
        IsADirectoryError: when `path` is a folder.
        FileNotFoundError: when its folder does not exist.
        ValueError: when it is a pipe or a device.
        PermissionError: when nothing can be written in its folder.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; give the name of a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {target.parent}; make it first")
    if target.exists() and not target.is_file():
        raise ValueError(f"{path}: is a pipe or a device; give the name of a file")
    _check_access(path, target.parent)


def check_folder_writable(path: str | os.PathLike[str], *, replaced: bool = False) -> None:
    """Check that files can be written in a folder or, if it is missing, that the folder can be created.

    Args:
        path: the folder.
        replaced: whether the whole folder will be replaced, as by `atomic_folder`.

    Raises:
        FileExistsError: when the folder, or one of its parents, is a file.
        PermissionError: when nothing can be written there.
    """
    folder = _existing_folder(path)
    _check_access(path, folder)
    if replaced and folder == Path(os.path.realpath(path)):
        _check_access(path, folder.parent)


def _existing_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder, or its nearest parent that exists; raise FileExistsError when that is a file."""
    target = Path(os.path.realpath(path))
    nearest = next(place for place in (target, *target.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        named = path if nearest == target else f"{path}: {nearest}"
        raise FileExistsError(f"{named}: is a file, and a folder is to be written; choose another name, or move it")
    return nearest


def _check_access(path: str | os.PathLike[str], folder: Path) -> None:
    """Raise PermissionError when no file can be created in a folder.

    A temporary file is created, because the permissions of a folder do not show, for example, a read-only file system.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = f"make the folder {folder} writable, or choose another place"
        raise PermissionError(f"{path}: cannot be written ({error.strerror}); {remedy}") from None


@contextlib.contextmanager
def file_lock(path: str | os.PathLike[str], *, wait: bool = False, busy: str = "is locked") -> Iterator[bool]:
    """Hold the exclusive advisory lock (flock) of an existing file or folder.

    The system releases the lock when the process ends, even if it is killed. Windows has no such lock: there the block
    runs without one.

    Args:
        path: the file or folder to lock; a file must be writable.
        wait: whether to wait until the lock is free.
        busy: the message of the error when the lock is not free.

    Yields:
        Whether the lock is held.

    Raises:
        ValueError: when another process, or another block in this process, holds the lock and `wait` is false.
        OSError: when the path cannot be opened, or its file system has no locks.
    """
    if sys.platform == "win32":
        yield False
        return
    descriptor = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise ValueError(busy) from None
        yield True
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def process_lock(path: str | os.PathLike[str], *, busy: str) -> Iterator[None]:
    """Hold the lock of a file, into which the process id of the holder is written. A missing file is created.

    Args:
        path: the file.
        busy: the message of the error when another process holds the lock; `{holder}` in it becomes "process 123".

    Raises:
        ValueError: when another process, or another block in this process, holds the lock.
        OSError: when the file cannot be opened, or its file system has no locks.
    """
    file = Path(path)
    file.touch(mode=0o600)
    text = file.read_text(encoding="ascii", errors="replace").strip()
    holder = f"process {text}" if text.isdecimal() else "another process"
    with file_lock(file, busy=busy.format(holder=holder)):
        file.write_text(f"{os.getpid()}\n", encoding="ascii")
        try:
            yield
        finally:
            file.write_text("", encoding="ascii")


@contextlib.contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """Create a folder beside `target`, lock it while this process works in it, and remove it afterwards.

    The lock ends with the process, so the next writer recognises the folder of a killed one and removes it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    while True:
        folder = target.with_name(f".{target.name}.new-{uuid.uuid4().hex[:12]}")
        folder.mkdir()
        with contextlib.ExitStack() as lock:
            with contextlib.suppress(OSError):  # a file system without locks: no lock is needed, as leftovers stay
                lock.enter_context(file_lock(folder, wait=True))
            if not folder.is_dir():  # another writer removed it as a leftover before it was locked
                continue
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary folders that killed processes left beside `target`.

    An old version of `target` is removed only if `target` exists.
    """
    leftover = re.compile(rf"\.{re.escape(target.name)}\.(new|old)-[0-9a-f]{{12}}")
    matches = list(filter(None, map(leftover.fullmatch, os.listdir(target.parent))))
    replaced = target.exists()  # checked after the listing, so that it shows whether a listed old version was replaced
    for match in matches:
        if match[1] == "new" or replaced:
            folder = target.with_name(match[0])
            with contextlib.suppress(OSError, ValueError), file_lock(folder) as locked:
                if locked:
                    shutil.rmtree(folder, ignore_errors=True)


def flush(path: Path) -> None:
    """Flush a file or folder to the disk, so that it survives a power cut. On Windows, folders are skipped."""
    if path.is_dir() and sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() or sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_into_place(fresh: Path, target: Path, *, replace: bool) -> None:
    """Move `fresh` to `target`. An old folder at `target` is moved to `fresh`, to be removed."""
    try:
        os.rename(fresh, target)  # succeeds if `target` is missing or an empty folder
    except OSError:
        if not target.exists():
            raise
        if replace and not _exchange(fresh, target):
            aside = target.with_name(f".{target.name}.old-{uuid.uuid4().hex[:12]}")
            os.rename(target, aside)
            os.rename(fresh, target)
            shutil.rmtree(aside, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two files or folders in one step; return whether the system supports it.

    Source: renameat2(2) with RENAME_EXCHANGE = 2 on Linux; renamex_np(2) with RENAME_SWAP = 2 on macOS.
    """
    old = os.fsencode(first)
    new = os.fsencode(second)
    with contextlib.suppress(AttributeError, OSError):
        if sys.platform.startswith("linux"):
            at_working_folder = -100
            libc = ctypes.CDLL(None, use_errno=True)
            return bool(libc.renameat2(at_working_folder, old, at_working_folder, new, 2) == 0)
        if sys.platform == "darwin":
            return bool(ctypes.CDLL(None).renamex_np(old, new, 2) == 0)
    return False
