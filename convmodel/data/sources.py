"""Sources as lists of input files: paths, folders, globs and zip archives."""

import glob
import os
import zipfile
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from convmodel.data.containers import DAMAGE, ZIP_MARKS, InputFile, name_suffix
from convmodel.data.remote import is_remote, list_remote, open_binary

_OFFICE = "[Content_Types].xml"

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A path, a folder, a glob or a Hub address, or a sequence of them."""


class SourceFiles(NamedTuple):
    """The files of a source.

    Args:
        files: the files to read.
        others: the names of other files in the folder or archive, which have no known suffix.
        is_named: whether the source is the path of a single file, not of a folder, an archive or a glob.
    """

    files: list[InputFile]
    others: list[str]
    is_named: bool


def source_name(source: Source) -> str:
    """Return the name of a source in messages."""
    return ", ".join(list_sources(source))


def list_sources(source: Source) -> list[str]:
    """Return the paths and addresses of a source."""
    return [os.fspath(each) for each in ([source] if isinstance(source, str | os.PathLike) else source)]


def list_files(source: str, *, noun: str, suffixes: Collection[str]) -> SourceFiles:
    """Return the files of a source in a fixed order.

    Args:
        source: a path, a glob, or a folder, of which all files with known suffixes are returned; or an address of
            fsspec, such as s3://bucket/*.jsonl. A zip archive is replaced with the files in it.
        noun: the name of the items in error messages.
        suffixes: the known suffixes, in lower case.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: see `check_file`; a folder without files of a known suffix is
            an IsADirectoryError, an archive without files a ValueError.
    """
    others: list[str] = []
    if is_remote(source):
        paths = list_remote(source, lambda name: _is_known(name, suffixes), others)
    elif not os.path.lexists(source) and glob.has_magic(source):
        paths = sorted(path for path in glob.glob(source, recursive=True) if os.path.isfile(path))
        if not paths:
            raise FileNotFoundError(f"{source}: no file matches this pattern{_looked_in(source)}; check it")
    elif os.path.isdir(source):
        paths = _folder_files(source, suffixes, others)
        if not paths:
            known = ", ".join(sorted(suffixes))
            remedy = f"give one file of {noun}s, or a folder of files that end in {known}"
            raise IsADirectoryError(f"{source}: is a folder ({_inside(source)}); {remedy}")
    else:
        check_file(source, noun=noun)
        paths = [source]
    files = [file for path in paths for file in _members(path, suffixes, others)]
    return SourceFiles(files, others, files == [InputFile(source)])


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


def _folder_files(folder: str, suffixes: Collection[str], others: list[str]) -> list[str]:
    """Return the files of a folder and its subfolders that have a known suffix, without hidden ones.

    Args:
        folder: the folder.
        suffixes: the known suffixes.
        others: the list to which the other files are added.
    """
    found: list[str] = []
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = os.path.join(top, name)
            if not name.startswith(".") and os.path.isfile(path):
                (found if _is_known(name, suffixes) else others).append(path)
    return sorted(found)


def _is_known(name: str, suffixes: Collection[str]) -> bool:
    return name_suffix(name) in suffixes or name.lower().endswith(".zip")


def _members(path: str, suffixes: Collection[str], others: list[str]) -> Iterator[InputFile]:
    """Yield the files of a zip archive, or the file itself if it is not an archive.

    If some files of the archive have a known suffix, the other ones, such as the pictures of a chat, are added to
    `others` instead. A damaged archive is yielded itself, so that reading it reports the damage.
    """
    with open_binary(path) as opened:
        if opened.read(4) not in ZIP_MARKS:
            yield InputFile(path)
            return
    try:
        with open_binary(path) as opened, zipfile.ZipFile(opened) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except DAMAGE:
        yield InputFile(path)
        return
    if _OFFICE in names or {"mimetype", "content.xml"} <= {*names}:
        raise ValueError(f"{path}: is a document of an office program, not text; save it as CSV or plain text")
    kept = [name for name in sorted(names) if not name.startswith("__MACOSX/") and os.path.basename(name)[0] != "."]
    if not kept:
        raise ValueError(f"{path}: the archive holds no files; make it again")
    has_known = any(name_suffix(name) in suffixes for name in kept)
    for name in kept:
        file = InputFile(path, name)
        if has_known and file.suffix not in suffixes:
            others.append(file.name)
        else:
            yield file
