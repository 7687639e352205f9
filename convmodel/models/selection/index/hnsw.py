"""Approximate search in an HNSW graph of usearch, whose results are ranked by exact scores."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convmodel.data.atomic import atomic_file
from convmodel.data.json_file import refuse_lfs_pointer
from convmodel.errors import install_command
from convmodel.models.selection.index import storage
from convmodel.models.selection.search.exact import TopK, rescore_pairs, search_exact
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts

MANY = 1_000_000
"""Number of candidates from which on search is approximate by default, for models with one vector per context."""

CHUNK = 65_536
"""Number of candidates added to the graph at once."""

SINGLE_THREADED = 4_096
"""Number of first candidates added by one thread: concurrent inserts would leave parts of a small graph unreachable."""

MIN_NEIGHBOURS = 64
"""Smallest number of candidates retrieved for one context vector and then scored exactly."""


def _usearch() -> Any:
    try:
        return importlib.import_module("usearch.index")
    except ModuleNotFoundError as error:
        raise ValueError(f"approximate search needs usearch; {install_command('index')}") from error


def build_graph(folder: Path, name: str, candidates: CandidateMatrix) -> None:
    """Write the graph file of all candidates that are not removed.

    Vectors are transformed so that angles order the candidates as inner products do. First the mean is subtracted,
    which keeps the order for every context and spreads the candidates further apart. Then each vector c becomes
    (c, sqrt(r^2 - |c|^2)) / r, where r is the largest norm; context vectors are extended by a 0.
    """
    usearch = _usearch()
    index = usearch.Index(ndim=candidates.vectors.shape[1] + 1, metric="ip", dtype="f16")
    like = torch.empty(0, dtype=torch.float64)
    starts = range(0, len(candidates), CHUNK)
    mean = torch.stack([candidates.block(start, CHUNK, like).sum(0) for start in starts]).sum(0) / len(candidates)

    def centred_block(start: int) -> Tensor:
        return candidates.block(start, CHUNK, mean) - mean

    largest = max(float(torch.linalg.vector_norm(centred_block(start), dim=1).amax()) for start in starts)
    present = torch.ones(len(candidates), dtype=torch.bool) if candidates.removed is None else ~candidates.removed
    for start in starts:
        block = centred_block(start) / max(largest, 1e-30)
        extension = (1 - block.square().sum(1, keepdim=True)).clamp(min=0).sqrt()
        kept = present[start : start + CHUNK]
        keys = (start + kept.nonzero()[:, 0]).numpy()
        rows = torch.cat([block, extension], 1)[kept].float().numpy()
        split = 0 if start else SINGLE_THREADED
        index.add(keys[:split], rows[:split], threads=1)
        index.add(keys[split:], rows[split:])
    with atomic_file(folder / name) as fresh:
        index.save(str(fresh))


def open_graph(folder: Path, state: storage.IndexManifest) -> Any:
    """Memory-map the graph file, and return its usearch index.

    Raises:
        FileNotFoundError, ValueError: when the file is missing or damaged, or usearch is not installed.
    """
    assert state.graph is not None
    usearch = _usearch()
    path = folder / state.graph.file
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is missing; {storage.REBUILD}")
    refuse_lfs_pointer(path)
    try:
        graph = usearch.Index.restore(str(path), view=True)
    except Exception as error:  # usearch raises errors of many types
        raise ValueError(f"{path}: is damaged ({error}); {storage.REBUILD}") from error
    if graph is None or graph.ndim != state.width + 1 or len(graph) > state.count:
        raise ValueError(f"{path}: is damaged, or of another index; {storage.REBUILD}")
    return graph


def search(graph: Any, contexts: EncodedContexts, candidates: CandidateMatrix, k: int) -> TopK:
    """Return the k best candidates, by exact scores, among the neighbours of each context in a graph.

    If a context has fewer than k neighbours, or there are at most 4 k candidates, all candidates are searched exactly.

    Args:
        graph: the result of `open_graph`.
        contexts: B contexts.
        candidates: the candidates of the graph.
        k: number of candidates to return.
    """
    if k >= 1 and candidates.left > 4 * k:
        rows, codes = contexts.mask.nonzero(as_tuple=True)
        queries = torch.nn.functional.pad(contexts.vectors[rows, codes].float(), (0, 1))
        neighbours = min(max(MIN_NEIGHBOURS, 4 * k), len(graph))
        keys = graph.search(queries.numpy(), neighbours).keys.astype(np.int64).reshape(len(queries), -1)
        pairs = np.unique((rows.numpy()[:, None] * len(candidates) + keys).ravel())
        pair_rows, ids = map(torch.from_numpy, np.divmod(pairs, len(candidates)))
        best = rescore_pairs(contexts, candidates, pair_rows, ids, k)
        if best is not None:
            return best
    return search_exact(contexts, candidates, k)


def mean_recall(approximate: Sequence[Sequence[int]], exact: Sequence[Sequence[int]]) -> float:
    """Return the share of the exact best candidates that approximate search finds, averaged over contexts."""
    shares = [len({*a} & {*b}) / len(b) for a, b in zip(approximate, exact, strict=True)]
    return sum(shares) / len(shares)
