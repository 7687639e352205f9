"""Sources as lists of input files: paths, folders, globs and zip archives."""

import glob
import os
import zipfile
from collections.abc import Collection, Iterable, Sequence

from convmodel.data.containers import DAMAGE, ZIP_MARKS, InputFile, name_suffix

_OFFICE = "[Content_Types].xml"

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A path, a folder, a glob or a Hub address, or a sequence of them."""


def source_name(source: Source) -> str:
    """Return the name of a source in messages."""
    return ", ".join(list_sources(source))


def list_sources(source: Source) -> list[str]:
    """Return the paths and addresses of a source."""
    return [os.fspath(each) for each in ([source] if isinstance(source, str | os.PathLike) else source)]


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
    return [file for path in paths for file in _members(path, suffixes)]


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
        known = (name for name in names if name_suffix(name) in suffixes or name.lower().endswith(".zip"))
        found.extend(os.path.join(top, name) for name in known if not name.startswith("."))
    return sorted(filter(os.path.isfile, found))


def _members(path: str, suffixes: Collection[str]) -> Iterable[InputFile]:
    """Return the files of a zip archive, or the file itself. A damaged archive is reported when it is read.

    If files of the archive have a known suffix, the others, such as the pictures of a chat, are left out.
    """
    with open(path, "rb") as file:
        if file.read(4) not in ZIP_MARKS:
            return [InputFile(path)]
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except DAMAGE:
        return [InputFile(path)]
    if _OFFICE in names:
        raise ValueError(f"{path}: is a document of an office program, not text; save it as CSV or plain text")
    kept = [name for name in sorted(names) if not name.startswith("__MACOSX/") and os.path.basename(name)[0] != "."]
    known = [name for name in kept if name_suffix(name) in suffixes]
    return [InputFile(path, name) for name in known or kept] or [InputFile(path)]
