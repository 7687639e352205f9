"""The files of an index: append-only rows, and a manifest that states how many of them are valid."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from convmodel.data.atomic import atomic_file, file_lock

VERSION = 1
INDEX = "index.json"
PENDING = "pending.json"
LOCK = "lock"
VECTORS = "vectors.bin"
DIGESTS = "digests.bin"
DIGEST = np.dtype("V16")


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph of approximate search, and the mean recall of the exact best 10 candidates of `sample` contexts."""

    file: str
    recall: float
    sample: int


@dataclass(frozen=True, slots=True)
class IndexManifest:
    """Contents of `index.json`, written atomically. Rows at or beyond `count` are not part of the index.

    Args:
        kind, fingerprint, model_dtype: the model that encoded the candidates, and the type that it computed in.
        width, dtype: D, the width of the vectors, and the type that they are stored in.
        count: number of candidates ever added; candidate numbers are below it.
        removed, removed_file: number of removed candidates, and the name of the file with their numbers.
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
        FileNotFoundError, ValueError: when there is no index, or it is unfinished, damaged, or of another version.
    """
    try:
        values: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if values["version"] != VERSION:
            raise ValueError(
                f"{folder}: unsupported index version {values['version']} (expected {VERSION}); rebuild the index"
            )
        graph = values.pop("graph")
        return IndexManifest(**values, graph=Graph(**graph) if graph else None)
    except FileNotFoundError:
        if (folder / PENDING).is_file():
            raise ValueError(f"{folder}: the index is not finished; run the command that started it again") from None
        raise FileNotFoundError(f"{folder}: there is no index; make one (python -m convmodel index)") from None
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder / INDEX}: is damaged ({error!r}); rebuild the index") from None


def with_removed(state: IndexManifest, folder: Path, numbers: Sequence[int]) -> IndexManifest:
    """Return the manifest, not yet written, after removing candidates; writes the file of their numbers."""
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
    return np.fromfile(folder / state.removed_file, dtype=np.int64)


def memory_map(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Map the beginning of a file as a copy-on-write array, or raise a ValueError when the file is too short."""
    needed = int(np.prod(shape)) * dtype.itemsize
    if not needed:
        return np.zeros(shape, dtype=dtype)
    if path.stat().st_size < needed:
        raise ValueError(f"{path}: is cut off ({path.stat().st_size:,} of {needed:,} bytes); rebuild the index")
    return np.memmap(path, dtype=dtype, mode="c", shape=shape)


def digest_text(text: str) -> bytes:
    """Return the digest of a text without the white space around it."""
    return hashlib.blake2b(text.strip().encode(), digest_size=DIGEST.itemsize).digest()


def known_texts(state: IndexManifest, folder: Path) -> dict[bytes, int]:
    """Return the numbers of the candidates that are not removed, by the digests of their texts."""
    digests = memory_map(folder / DIGESTS, DIGEST, (state.count,)).tobytes()
    numbers = {digests[16 * number : 16 * number + 16]: number for number in range(state.count)}
    for number in removed_numbers(state, folder).tolist():
        digest = digests[16 * number : 16 * number + 16]
        if numbers.get(digest) == number:  # otherwise the text was added again, under a new number
            del numbers[digest]
    return numbers


def is_index_file(name: str) -> bool:
    """Return whether a file name may belong to an index, finished or not."""
    endings = (".bytes", ".ends", ".usearch")
    beginnings = (f".{INDEX}.", f".{PENDING}.", "removed-")
    return name in {INDEX, PENDING, LOCK, VECTORS, DIGESTS} or name.endswith(endings) or name.startswith(beginnings)


class ByteStrings:
    """The first `count` byte strings, of any length, of two memory-mapped files: NAME.ends (offsets), NAME.bytes."""

    def __init__(self, folder: Path, name: str, count: int) -> None:
        self._ends = memory_map(folder / f"{name}.ends", np.dtype(np.int64), (count,))
        total = int(self._ends[-1]) if count else 0
        self._bytes = memory_map(folder / f"{name}.bytes", np.dtype(np.uint8), (total,))

    def __getitem__(self, index: int) -> bytes:
        start = int(self._ends[index - 1]) if index else 0
        return self._bytes[start : int(self._ends[index])].tobytes()


@contextmanager
def append_byte_strings(folder: Path, name: str, count: int) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that appends a byte string after the first `count` ones; see `ByteStrings` and `append_rows`."""
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
    """Yield a file to append rows of `size` bytes to after its first `count` ones; later ones are cut off.

    At the end all rows are on disk, so that they survive a power cut. A file with fewer rows raises a ValueError.
    """
    path.touch()
    if path.stat().st_size < size * count:
        raise ValueError(f"{path}: is cut off; rebuild the index")
    with open(path, "r+b") as file:
        file.truncate(size * count)
        file.seek(size * count)
        try:
            yield file
        finally:
            file.flush()
            os.fsync(file.fileno())


def locked(folder: Path) -> AbstractContextManager[bool]:
    """Hold the exclusive write lock of an index, or raise a ValueError while another process does; readers may read."""
    (folder / LOCK).touch()
    return file_lock(folder / LOCK, busy=f"{folder}: another process changes this index; wait for its end")
