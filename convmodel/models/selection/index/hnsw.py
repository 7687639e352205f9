"""Candidates in, a graph that leads to the best of them without looking at all out; by usearch."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convmodel.data.atomic import atomic_file
from convmodel.models.selection.index import storage as files
from convmodel.models.selection.search.exact import TopK, rescored, search_poly
from convmodel.models.selection.search.vectors import CandidateMatrix

MANY = 1_000_000
"""From so many candidates on, a search with one vector for each context is approximate unless it is told otherwise."""

CHUNK = 65_536
"""Candidates that are added at once."""

ALONE = 4_096
"""The first candidates, which one thread adds: several at once would leave some of a small graph out of reach."""

NEAR = 64
"""Candidates at least that one vector of a context leads to; their exact scores decide."""


@dataclass(frozen=True, slots=True)
class OpenGraph:
    """A graph that is read where it lies.

    Args:
        index: of usearch.
    """

    index: Any


def _usearch() -> Any:
    try:
        return importlib.import_module("usearch.index")
    except ModuleNotFoundError as error:
        raise ValueError('approximate search needs usearch; pip install "convmodel[index]"') from error


def make(folder: Path, name: str, candidates: CandidateMatrix) -> None:
    """Makes the graph's file of all candidates that are there.

    Inner products are turned into angles. Without their mean, candidates keep their order for every context, and are
    further apart; then c becomes (c, sqrt(r^2 - |c|^2)) / r with r the largest norm, and a context's vector gets a 0
    there, so that the angle between the two orders candidates as their product does.
    """
    usearch = _usearch()
    index = usearch.Index(ndim=candidates.vectors.shape[1] + 1, metric="ip", dtype="f16")
    like = torch.empty(0, dtype=torch.float64)
    starts = range(0, len(candidates), CHUNK)
    mean = torch.stack([candidates.block(start, CHUNK, like).sum(0) for start in starts]).sum(0) / len(candidates)
    blocks = partial(_centred, candidates, mean)
    largest = max(float(torch.linalg.vector_norm(blocks(start), dim=1).amax()) for start in starts)
    for start in starts:
        block = blocks(start) / max(largest, 1e-30)
        rest = (1 - block.square().sum(1, keepdim=True)).clamp(min=0).sqrt()
        there = candidates.there(start, CHUNK)
        keys, rows = (start + there.nonzero()[:, 0]).numpy(), torch.cat([block, rest], 1)[there].float().numpy()
        alone = 0 if start else ALONE
        index.add(keys[:alone], rows[:alone], threads=1)
        index.add(keys[alone:], rows[alone:])
    with atomic_file(folder / name) as fresh:
        index.save(str(fresh))


def _centred(candidates: CandidateMatrix, mean: Tensor, start: int) -> Tensor:
    return candidates.block(start, CHUNK, mean) - mean


def opened(folder: Path, state: files.IndexManifest) -> OpenGraph:
    """Opens the graph's file without reading it."""
    assert state.graph is not None
    usearch, path = _usearch(), folder / state.graph.file
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is missing; make the index anew")
    return OpenGraph(usearch.Index.restore(str(path), view=True))


def search(graph: OpenGraph, vectors: Tensor, found: Tensor, candidates: CandidateMatrix, k: int) -> TopK:
    """The best of those that a context's vectors lead to, by exact scores; of all where these are too few."""
    if k >= 1 and candidates.left > 4 * k:
        rows, codes = found.nonzero(as_tuple=True)
        asked = torch.nn.functional.pad(vectors[rows, codes].float(), (0, 1))
        wanted = min(max(NEAR, 4 * k), len(graph.index))
        keys = graph.index.search(asked.numpy(), wanted).keys.astype(np.int64).reshape(len(asked), -1)
        pairs = np.unique((rows.numpy()[:, None] * len(candidates) + keys).ravel())
        contexts, ids = np.divmod(pairs, len(candidates))
        best = rescored(vectors, found, candidates, torch.from_numpy(contexts), torch.from_numpy(ids), k)
        if best is not None:
            return best
    return search_poly(vectors, found, candidates, k)


def recall(approximate: Sequence[Sequence[int]], exact: Sequence[Sequence[int]]) -> float:
    """The share of the exact best that was found, on the average."""
    shares = [len({*a} & {*b}) / len(b) for a, b in zip(approximate, exact, strict=True)]
    return sum(shares) / len(shares)
