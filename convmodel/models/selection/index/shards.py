"""Exact search of an index in shards: ranges of its rows, each searched by a process of its own."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from convmodel.data.atomic import atomic_file
from convmodel.data.step_runner import RunSteps, Step
from convmodel.models.selection.fused_contexts import SearchContexts, search_table
from convmodel.models.selection.fused_selector import SearchingSelector, require_searching
from convmodel.models.selection.index import storage
from convmodel.models.selection.index.index import CandidateIndex
from convmodel.models.selection.index.lexical_folder import lexical_selector
from convmodel.models.selection.search.exact import TopK, merge
from convmodel.models.selection.selector import Selector


@dataclass(frozen=True)
class IndexSource:
    """An index and its selector, which each worker process opens once.

    Args:
        folder: the folder of the index.
        model: the folder of the selector; None for a lexical selector, which is in the folder of the index.
        device, dtype, fusion: see `Selector.from_pretrained`.
    """

    folder: str
    model: str | None
    device: str | None = None
    dtype: str = "auto"
    fusion: bool = True

    def open(self) -> tuple[SearchingSelector, CandidateIndex]:
        """Return the selector and the index."""
        if self.model is None:
            selector: SearchingSelector = lexical_selector(self.folder)
        else:
            loaded = Selector.from_pretrained(self.model, self.device, self.dtype, fusion=self.fusion)
            selector = require_searching(loaded, remedy="use a bi-encoder, a poly-encoder or ConveRT")
        return selector, CandidateIndex.open(self.folder, selector)


def split_rows(count: int, shards: int) -> list[range]:
    """Divide the rows from 0 to `count` - 1 into ranges of nearly equal length, none of which is empty."""
    shards = min(shards, count)
    return [range(count * shard // shards, count * (shard + 1) // shards) for shard in range(shards)]


def search_shard(index: CandidateIndex, contexts: SearchContexts, k: int, rows: range) -> TopK:
    """Return the k best candidates of each context among some rows of an index, by exact scores.

    Word frequencies are those of the selector, which are the same for all shards, so that a candidate's score does not
    depend on the shard.

    Args:
        contexts: B contexts on the CPU.
        k: number of candidates to return; all of the shard's if it has fewer.
        rows: the candidate numbers of the shard.
    """
    table = index.shard(rows)
    if not table.vectors.left:
        return TopK(torch.empty(len(contexts), 0, dtype=torch.long), torch.empty(len(contexts), 0))
    best = search_table(contexts, table, k)
    return TopK(best.ids + rows.start, best.scores)


def search_in_workers(
    source: IndexSource, contexts: Sequence[Sequence[str]], k: int, *, shards: int, run_all: RunSteps
) -> TopK:
    """Search an index in shards, and merge their results to the exact k best candidates of each context.

    The result is that of `CandidateIndex.search` with `exact=True`.

    Args:
        source: the index and its selector.
        contexts: the turns of each context.
        k: number of candidates to return.
        shards: number of ranges into which the candidates are divided.
        run_all: runs the steps, such as `partial(run_in_processes, workers=4, computing=True)`.

    Raises:
        FileNotFoundError, ValueError: see `CandidateIndex.open` and `CandidateIndex.search`.
    """
    state = storage.read_state(Path(source.folder))
    if k < 1 or not state.left:
        raise ValueError(f"k={k} of {state.left} candidates; ask for at least 1 of at least 1")
    asked = tuple(map(tuple, contexts))
    with tempfile.TemporaryDirectory(prefix=storage.RESULTS, dir=source.folder) as folder:
        ranges = split_rows(state.count, shards)
        files = [Path(folder) / f"{rows.start}.npy" for rows in ranges]
        search = partial(_write_best, source, asked, k)
        for _ in run_all([Step(file, partial(search, rows, file)) for rows, file in zip(ranges, files, strict=True)]):
            pass
        return merge([_read_best(file) for file in files], k)


def _write_best(source: IndexSource, contexts: Sequence[Sequence[str]], k: int, rows: range, file: Path) -> None:
    """Search a shard in a worker process, and write ids and scores to a file."""
    selector, index = _open(source, storage.read_state(Path(source.folder)))
    best = search_shard(index, selector.encode_contexts(contexts).cpu(), k, rows)
    with atomic_file(file) as fresh, open(fresh, "wb") as stream:
        np.save(stream, best.ids.numpy(), allow_pickle=False)
        np.save(stream, best.scores.numpy(), allow_pickle=False)


@cache
def _open(source: IndexSource, state: storage.IndexManifest) -> tuple[SearchingSelector, CandidateIndex]:
    """Open the index with this manifest."""
    return source.open()


def _read_best(file: Path) -> TopK:
    with open(file, "rb") as stream:
        ids, scores = (torch.from_numpy(np.load(stream, allow_pickle=False)) for _ in range(2))
    return TopK(ids, scores)
