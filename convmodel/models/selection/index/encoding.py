"""Encoding the new candidates of an index, in this process or as steps that several processes share."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from convmodel.data.atomic import atomic_file
from convmodel.data.json_file import read_json_object
from convmodel.data.step_runner import RunSteps, Step, run_in_order
from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.index import storage
from convmodel.models.selection.index.storage import IndexManifest
from convmodel.models.selection.selector import Selector

Progress = Callable[[int, int], object]
"""Is called with the numbers of candidates encoded so far and to encode."""


@dataclass(frozen=True)
class EncoderSource:
    """A model that each worker process loads once.

    Args:
        model, device, dtype: see `Selector.from_pretrained`. All processes must be able to read the folder.
    """

    model: str
    device: str | None = None
    dtype: str = "auto"


@dataclass(frozen=True)
class EncoderWorkers:
    """Processes that encode candidates.

    Args:
        source: the model.
        run_all: runs the steps, such as `partial(run_in_processes, workers=4, computing=True)`.
    """

    source: EncoderSource
    run_all: RunSteps


@dataclass(frozen=True)
class EncodingJob:
    """The new candidates of an index, in the order in which they are encoded.

    Args:
        folder: the folder of the index, which holds the texts.
        state: the manifest before the build.
        added: number of new candidates.
        key: see `write_texts`.
        batch: number of candidates encoded and then written at once.
    """

    folder: Path
    state: IndexManifest
    added: int
    key: str
    batch: int

    def read_pending(self) -> dict[str, Any]:
        """Return the progress of an interrupted run with the same key: the contents of `pending.json`, or {}."""
        try:
            pending = read_json_object(self.folder / storage.PENDING)
        except (FileNotFoundError, ValueError):
            return {}
        return pending if pending.get("key") == self.key else {}

    def vectors(self, model: DualEncoderSelector[Any, Any], start: int) -> np.ndarray:
        """Encode the batch that begins with new candidate `start`; return its (batch, D) vectors."""
        texts = storage.ByteStrings(self.folder, "texts", self.state.count + self.added)
        first = self.state.count + start
        last = self.state.count + min(start + self.batch, self.added)
        batch_texts = [texts[number].decode() for number in range(first, last)]
        return _vectors(model, batch_texts, self.state.dtype, first=first)

    def append(self, vectors: bytes | memoryview, start: int, width: int) -> int:
        """Append the vectors of a batch to the file of vectors, and record the progress.

        Returns:
            The number of new candidates encoded so far.
        """
        size = width * np.dtype(self.state.dtype).itemsize
        with storage.append_rows(self.folder / storage.VECTORS, size, self.state.count + start) as rows:
            rows.write(vectors)
        done = min(start + self.batch, self.added)
        with atomic_file(self.folder / storage.PENDING) as fresh:
            fresh.write_text(json.dumps({"key": self.key, "done": done, "width": width}), encoding="utf-8")
        return done

    def part(self, start: int) -> Path:
        """Return the file of the vectors of a batch that another process encodes, until they are appended."""
        return self.folder / f"{storage.PART}{self.key}-{start:012d}.vectors"


def encode(
    model: DualEncoderSelector[Any, Any], encoding: EncodingJob, progress: Progress, workers: EncoderWorkers | None
) -> tuple[int, int]:
    """Encode the new candidates in batches, and append their vectors to the file of vectors.

    Returns:
        The number of candidates that an interrupted run had appended, and D, the width of the vectors.
    """
    pending = encoding.read_pending()
    resumed = min(int(pending.get("done", 0)), encoding.added)
    width = encoding.state.width or int(pending.get("width", 0))
    starts = range(resumed, encoding.added, encoding.batch)
    progress(resumed, encoding.added)
    if workers is not None:
        return resumed, _encode_in_workers(model, encoding, starts, progress, workers) or width
    for start in starts:
        vectors = encoding.vectors(model, start)
        width = vectors.shape[1]
        progress(encoding.append(vectors.data, start, width), encoding.added)
    return resumed, width


def _encode_in_workers(
    model: DualEncoderSelector[Any, Any],
    encoding: EncodingJob,
    starts: range,
    progress: Progress,
    workers: EncoderWorkers,
) -> int:
    """Encode batches as steps, and append their vectors in the order of the candidates; return their width, or 0."""
    wanted = {encoding.part(start) for start in starts}
    for path in encoding.folder.glob(f"{storage.PART}*"):
        if path not in wanted:
            path.unlink()  # of a run with other candidates, or appended before the run was killed
    step = partial(_encode_part, workers.source, model.fingerprint(), encoding)
    steps = [Step(encoding.part(start), partial(step, start)) for start in starts]
    width = 0
    for start, finished in zip(starts, run_in_order(steps, workers.run_all), strict=True):
        data = finished.output.read_bytes()
        rows = min(encoding.batch, encoding.added - start)
        width = len(data) // rows // np.dtype(encoding.state.dtype).itemsize
        progress(encoding.append(data, start, width), encoding.added)
        finished.output.unlink()
    return width


def _encode_part(source: EncoderSource, fingerprint: str, encoding: EncodingJob, start: int) -> None:
    """Encode a batch in a worker process, and write its vectors to a file."""
    vectors = encoding.vectors(_load(source, fingerprint), start)
    with atomic_file(encoding.part(start)) as fresh:
        vectors.tofile(fresh)


@cache
def _load(source: EncoderSource, fingerprint: str) -> DualEncoderSelector[Any, Any]:
    """Load a model; raise ValueError if its fingerprint is another one."""
    model = Selector.from_pretrained(source.model, source.device, source.dtype, fusion=False)
    if not isinstance(model, DualEncoderSelector) or model.fingerprint() != fingerprint:
        raise ValueError(f"{source.model}: a worker reads another model in this folder; give all the same files")
    return model


def _vectors(model: DualEncoderSelector[Any, Any], texts: list[str], dtype: str, *, first: int) -> np.ndarray:
    encoded = model.encode_candidates(texts).float().cpu().numpy()
    with np.errstate(over="ignore"):  # overflow is reported below
        vectors: np.ndarray = np.ascontiguousarray(encoded, dtype=np.dtype(dtype))
    finite = np.isfinite(vectors).all(1)
    if not finite.all():
        position = int(np.argmin(finite))
        raise ValueError(
            f"the vector of candidate {first + position}, {texts[position]!r:.60}, is not finite in {dtype}; "
            "the model is broken, or its numbers are too large for that type"
        )
    return vectors
