"""A folder in, what an index keeps there out: rows that only grow, and one small file that says which of them count."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from convmodel.data.atomic import atomic_file, file_lock

VERSION = 1
INDEX, PENDING, LOCK = "index.json", "pending.json", "lock"
VECTORS, DIGESTS = "vectors.bin", "digests.bin"
DIGEST = np.dtype("V16")


@dataclass(frozen=True, slots=True)
class Graph:
    """What approximate search goes by.

    Args:
        file: its name.
        recall: the share of the exact best 10 that is found, on the average of a sample.
        sample: how many contexts that were.
    """

    file: str
    recall: float
    sample: int


@dataclass(frozen=True, slots=True)
class IndexManifest:
    """What stands in `index.json`. It is replaced in one step; rows from `count` on are none yet.

    Args:
        kind, fingerprint: of the model.
        model_dtype: the type that the model computed the vectors in.
        width: D.
        dtype: of vectors.
        count: how many candidates were ever added; their numbers are below it.
        removed: how many of them were removed.
        removed_file: where their numbers are.
        graph: for approximate search, if there is one.
        version: of what is written.
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
        """How many candidates there are."""
        return self.count - self.removed

    def write(self, folder: Path) -> None:
        """Makes this what is so, and removes the files that no state names any more."""
        with atomic_file(folder / INDEX) as fresh:
            fresh.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        named = {self.removed_file, self.graph.file if self.graph else None}
        for path in (*folder.glob("removed-*.bin"), *folder.glob("graph-*.usearch")):
            if path.name not in named:
                path.unlink(missing_ok=True)


def read_state(folder: Path) -> IndexManifest:
    """What is so.

    Raises:
        FileNotFoundError, ValueError: where there is no index, or one that is not finished, or of another version.
    """
    try:
        values: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if values["version"] != VERSION:
            raise ValueError(
                f"{folder}: is an index of version {values['version']}, and {VERSION} is read; make it anew"
            )
        graph = values.pop("graph")
        return IndexManifest(**values, graph=Graph(**graph) if graph else None)
    except FileNotFoundError:
        if (folder / PENDING).is_file():
            raise ValueError(f"{folder}: the index is not finished; give the command that began it once more") from None
        raise FileNotFoundError(f"{folder}: there is no index; make one (python -m convmodel index)") from None
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder / INDEX}: is damaged ({error!r}); make the index anew") from None


def with_removed(state: IndexManifest, folder: Path, numbers: np.ndarray) -> IndexManifest:
    """The state after candidates were removed; not yet written."""
    gone = np.union1d(removed_numbers(state, folder), numbers)
    if len(gone) == state.removed:
        return state
    name = f"removed-{len(gone)}.bin"
    with atomic_file(folder / name) as fresh:
        gone.astype(np.int64).tofile(fresh)
    return replace(state, removed=len(gone), removed_file=name)


def removed_numbers(state: IndexManifest, folder: Path) -> np.ndarray:
    """The numbers of those that were removed, in order."""
    if state.removed_file is None:
        return np.zeros(0, dtype=np.int64)
    return np.fromfile(folder / state.removed_file, dtype=np.int64)


def mapped(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The beginning of a file as an array; it may be written to, which leaves the file as it is.

    Raises:
        ValueError: when the file is too short.
    """
    needed = int(np.prod(shape)) * dtype.itemsize
    if not needed:
        return np.zeros(shape, dtype=dtype)
    if path.stat().st_size < needed:
        raise ValueError(f"{path}: is cut off ({path.stat().st_size:,} of {needed:,} bytes); make the index anew")
    return np.memmap(path, dtype=dtype, mode="c", shape=shape)


def is_ours(name: str) -> bool:
    """Whether a file may be of an index, or of one that is being made."""
    endings, beginnings = (".bytes", ".ends", ".usearch"), (f".{INDEX}.", f".{PENDING}.", "removed-")
    return name in {INDEX, PENDING, LOCK, VECTORS, DIGESTS} or name.endswith(endings) or name.startswith(beginnings)


class ByteStrings:
    """Byte strings of any length, memory-mapped.

    Args:
        folder, name: where they are.
        count: how many are read.
    """

    def __init__(self, folder: Path, name: str, count: int) -> None:
        self._ends = mapped(folder / f"{name}.ends", np.dtype(np.int64), (count,))
        total = int(self._ends[-1]) if count else 0
        self._bytes = mapped(folder / f"{name}.bytes", np.dtype(np.uint8), (total,))

    def __getitem__(self, number: int) -> bytes:
        start = int(self._ends[number - 1]) if number else 0
        return self._bytes[start : int(self._ends[number])].tobytes()


class PieceWriter:
    """Adds byte strings behind the first `count`; what stood there is overwritten."""

    def __init__(self, folder: Path, name: str, count: int) -> None:
        ends = folder / f"{name}.ends"
        self._end = int(mapped(ends, np.dtype(np.int64), (count,))[-1]) if count else 0
        self._ends, self._bytes = AppendOnlyFile(ends, 8, count), AppendOnlyFile(folder / f"{name}.bytes", 1, self._end)

    def add(self, piece: bytes) -> None:
        """Adds one."""
        self._end += len(piece)
        self._bytes.add(piece)
        self._ends.add(self._end.to_bytes(8, sys.byteorder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._bytes.close()
        self._ends.close()


class AppendOnlyFile:
    """Adds rows behind the first `count`; what stood there is cut off.

    Args:
        path: the file; made where it is not there.
        size: bytes of a row.
        count: how many stay.

    Raises:
        ValueError: when there are fewer.
    """

    def __init__(self, path: Path, size: int, count: int) -> None:
        path.touch()
        if path.stat().st_size < size * count:
            raise ValueError(f"{path}: is cut off; make the index anew")
        self._file: BinaryIO = open(path, "r+b")  # noqa: SIM115 (closed by `close`)
        self._file.truncate(size * count)
        self._file.seek(size * count)

    def add(self, rows: bytes | memoryview) -> None:
        """Adds some."""
        self._file.write(rows)

    def sync(self) -> None:
        """Makes them survive a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Ends it."""
        self.sync()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps others from changing an index; readers are let in.

    Raises:
        ValueError: while another process changes it.
    """
    (folder / LOCK).touch()
    with file_lock(folder / LOCK, busy=f"{folder}: another process changes this index; wait for its end"):
        yield
