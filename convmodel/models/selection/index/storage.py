"""The files of an index: append-only rows, and a manifest that states how many of them are valid."""

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from convmodel.data.atomic import atomic_file, file_lock
from convmodel.data.json_file import read_json_object, refuse_lfs_pointer
from convmodel.models.selection.selector_files import FUSION, LEXICAL, SELECTOR

VERSION = 1
INDEX = "index.json"
PENDING = "pending.json"
PART = "part-"
"""Beginning of the names of files of vectors that are not yet part of `VECTORS`."""

LOCK = "lock"
RESULTS = "results-"
"""Beginning of the names of folders with results of workers, which exist while they search."""

VECTORS = "vectors.bin"
DIGESTS = "digests.bin"
DIGEST = np.dtype("V16")
DTYPES = ("float32", "float16")
REBUILD = "rebuild the index"


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph of approximate search.

    Args:
        file: name of the graph's file.
        recall: share of the exact best 10 candidates that approximate search finds, averaged over `sample` contexts.
        sample: number of contexts that recall was measured with.
    """

    file: str
    recall: float
    sample: int


@dataclass(frozen=True, slots=True)
class IndexManifest:
    """Contents of `index.json`, written atomically. Rows from number `count` on are not part of the index.

    Args:
        kind: kind of the selector that encoded the candidates.
        fingerprint: fingerprint of that selector.
        model_dtype: the type that the selector computed in.
        width: D, the width of the vectors; 0 for a lexical selector.
        dtype: the type that the vectors are stored in.
        count: number of candidates ever added; candidates have the numbers from 0 to `count` - 1.
        removed: number of removed candidates.
        removed_file: name of the file with the numbers of removed candidates; None if there are none.
        graph: the graph of approximate search; None for exact search only.
        words: whether the words of the candidates are stored; false in indexes of older versions.
        version: version of the format.
    """

    kind: str
    fingerprint: str
    model_dtype: str
    width: int
    dtype: str
    count: int = 0
    removed: int = 0
    removed_file: str | None = None
    graph: Graph | None = None
    words: bool = False
    version: int = VERSION

    @property
    def left(self) -> int:
        """The number of candidates that are not removed."""
        return self.count - self.removed

    def write(self, folder: Path) -> None:
        """Write the manifest and delete files that it no longer references."""
        with atomic_file(folder / INDEX) as fresh:
            fresh.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        named = {self.removed_file, self.graph.file if self.graph else None}
        for path in (*folder.glob("removed-*.bin"), *folder.glob("graph-*.usearch")):
            if path.name not in named:
                path.unlink(missing_ok=True)


def read_state(folder: Path) -> IndexManifest:
    """Read the manifest of an index.

    Raises:
        FileNotFoundError, ValueError: when there is no index, or it is unfinished, damaged, or has another version.
    """
    file = folder / INDEX
    if not file.exists():
        if (folder / PENDING).is_file():
            raise ValueError(f"{folder}: the index is not finished; run the command that started it again")
        raise FileNotFoundError(f"{folder}: there is no index; make one (python -m convmodel index)")
    values = read_json_object(file, remedy=REBUILD)
    if values.get("version") != VERSION:
        raise ValueError(f"{folder}: unsupported index version {values.get('version')} (expected {VERSION}); {REBUILD}")
    try:
        graph = values.pop("graph")
        state = IndexManifest(**values, graph=Graph(**graph) if graph else None)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file}: is damaged ({error!r}); {REBUILD}") from None
    for name, is_valid in _validity(state).items():
        if not is_valid:
            raise ValueError(f"{file}: is damaged ({name} is {getattr(state, name)!r}); {REBUILD}")
    return state


def _validity(state: IndexManifest) -> dict[str, bool]:
    """Return, by name of the field, whether its value is valid."""
    count = state.count if type(state.count) is int else -1
    named = state.removed_file is None or re.fullmatch(r"removed-\d+\.bin", str(state.removed_file)) is not None
    graph = state.graph is None or re.fullmatch(r"graph-[\d-]+\.usearch", str(state.graph.file)) is not None
    return {
        **{name: isinstance(getattr(state, name), str) for name in ("kind", "fingerprint", "model_dtype")},
        "count": count >= 1,
        "width": type(state.width) is int and state.width >= (0 if state.kind == LEXICAL else 1),
        "words": isinstance(state.words, bool),
        "dtype": state.dtype in DTYPES,
        "removed": type(state.removed) is int and 0 <= state.removed <= count,
        "removed_file": named and (state.removed_file is not None or not state.removed),
        "graph": graph,
    }


def with_removed(state: IndexManifest, folder: Path, numbers: Sequence[int]) -> IndexManifest:
    """Write the file of removed candidates with additional numbers, and return the new manifest, not yet written."""
    removed = np.union1d(removed_numbers(state, folder), np.array(numbers, dtype=np.int64))
    if len(removed) == state.removed:
        return state
    name = f"removed-{len(removed)}.bin"
    with atomic_file(folder / name) as fresh:
        removed.astype(np.int64).tofile(fresh)
    return replace(state, removed=len(removed), removed_file=name)


def removed_numbers(state: IndexManifest, folder: Path) -> np.ndarray:
    """Return the numbers of removed candidates, in ascending order."""
    if state.removed_file is None:
        return np.zeros(0, dtype=np.int64)
    file = folder / state.removed_file
    numbers = np.array(memory_map(file, np.dtype(np.int64), (state.removed,)))
    if len(numbers) and not (numbers[0] >= 0 and numbers[-1] < state.count and (np.diff(numbers) > 0).all()):
        raise ValueError(f"{file}: is damaged; {REBUILD}")
    return numbers


def memory_map(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Map the beginning of a file as a copy-on-write array. An empty array needs no file.

    Raises:
        FileNotFoundError, ValueError: when the file is missing, too short, or a pointer of Git LFS.
    """
    needed = math.prod(shape) * dtype.itemsize
    if not needed:
        return np.zeros(shape, dtype=dtype)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is missing; {REBUILD}")
    refuse_lfs_pointer(path)
    if path.stat().st_size < needed:
        raise ValueError(f"{path}: is cut off ({path.stat().st_size:,} of {needed:,} bytes); {REBUILD}")
    return np.memmap(path, dtype=dtype, mode="c", shape=shape)


def digest_text(text: str) -> bytes:
    """Return the digest of a text, after stripping white space from its ends."""
    return hashlib.blake2b(text.strip().encode(), digest_size=DIGEST.itemsize).digest()


def known_texts(state: IndexManifest, folder: Path) -> dict[bytes, int]:
    """Return a mapping from text digests to the numbers of the candidates that are not removed."""
    digests = memory_map(folder / DIGESTS, DIGEST, (state.count,)).tobytes()
    numbers = {digests[16 * number : 16 * number + 16]: number for number in range(state.count)}
    for number in removed_numbers(state, folder).tolist():
        digest = digests[16 * number : 16 * number + 16]
        if numbers.get(digest) == number:  # otherwise the text was added again, under a new number
            del numbers[digest]
    return numbers


def is_index_file(name: str) -> bool:
    """Return whether a file of this name may belong to an index, finished or not."""
    endings = (".bytes", ".ends", ".usearch")
    beginnings = (f".{INDEX}.", f".{PENDING}.", "removed-", PART, f".{PART}", RESULTS)
    files = {INDEX, PENDING, LOCK, VECTORS, DIGESTS, SELECTOR, FUSION}  # the last two: a lexical selector
    return name in files or name.endswith(endings) or name.startswith(beginnings)


class ByteStrings:
    """The first `count` byte strings, of any length, of two memory-mapped files.

    NAME.bytes holds the concatenated strings, NAME.ends the int64 offset of the end of each.
    """

    def __init__(self, folder: Path, name: str, count: int) -> None:
        self._file = folder / f"{name}.ends"
        self._ends = memory_map(self._file, np.dtype(np.int64), (count,))
        total = int(self._ends[-1]) if count else 0
        if total < 0:
            raise ValueError(f"{self._file}: is damaged; {REBUILD}")
        self._bytes = memory_map(folder / f"{name}.bytes", np.dtype(np.uint8), (total,))

    def all(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the bytes of all strings, and the (count,) offsets of their ends."""
        return self._bytes, self._ends

    def __getitem__(self, index: int) -> bytes:
        start = int(self._ends[index - 1]) if index else 0
        end = int(self._ends[index])
        if not 0 <= start <= end <= len(self._bytes):
            raise ValueError(f"{self._file}: is damaged; {REBUILD}")
        return self._bytes[start:end].tobytes()


@contextmanager
def append_byte_strings(folder: Path, name: str, count: int) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that appends a byte string to the first `count` ones; see `ByteStrings` and `append_rows`."""
    ends_path = folder / f"{name}.ends"
    end = int(memory_map(ends_path, np.dtype(np.int64), (count,))[-1]) if count else 0
    with append_rows(ends_path, 8, count) as ends, append_rows(folder / f"{name}.bytes", 1, end) as file:

        def append(data: bytes) -> None:
            nonlocal end
            end += len(data)
            file.write(data)
            ends.write(end.to_bytes(8, sys.byteorder))

        yield append


@contextmanager
def append_rows(path: Path, size: int, count: int) -> Iterator[BinaryIO]:
    """Yield a file for appending rows of `size` bytes after its first `count` rows; later rows are cut off.

    On exit the rows are flushed to disk, so that they survive a power cut.

    Raises:
        ValueError: for a file with fewer than `count` rows.
    """
    path.touch()
    if path.stat().st_size < size * count:
        raise ValueError(f"{path}: is cut off; {REBUILD}")
    with open(path, "r+b") as file:
        file.truncate(size * count)
        file.seek(size * count)
        try:
            yield file
        finally:
            file.flush()
            os.fsync(file.fileno())


def locked(folder: Path) -> AbstractContextManager[bool]:
    """Hold the exclusive write lock of an index; readers need no lock.

    Raises:
        ValueError: when another process holds the lock.
    """
    (folder / LOCK).touch()
    return file_lock(folder / LOCK, busy=f"{folder}: another process changes this index; wait for its end")
