"""Building the graph of an index and measuring its recall against exact search."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from convmodel.models.selection.dual_encoder import DualEncoderSelector
from convmodel.models.selection.index import hnsw
from convmodel.models.selection.index.index import CandidateIndex
from convmodel.models.selection.index.storage import Graph, IndexManifest
from convmodel.models.selection.search.vectors import EncodedContexts

SAMPLE = 100
"""Largest number of contexts that recall is measured with."""

RECALL_AT = 10


def update_graph(
    folder: Path,
    state: IndexManifest,
    before: IndexManifest,
    model: DualEncoderSelector[Any, Any],
    approximately: bool | None,
) -> IndexManifest:
    """Build the graph of an index if necessary, and return the manifest with the graph, or without one.

    An existing graph is kept unless candidates were added. Otherwise a graph is built and its recall is measured.

    Args:
        folder: the folder of the index, with all rows written.
        state: the new manifest, not yet written.
        before: the manifest before candidates were added.
        model: the selector that encoded the candidates.
        approximately: see `build_index`.
    """
    exact = CandidateIndex(folder, replace(state, graph=None))
    wanted = before.graph is not None if approximately is None else approximately
    if approximately is None and not wanted and state.left >= hnsw.MANY:
        wanted = _contexts(exact, model, 1).vectors.shape[1] == 1
    if not wanted or not state.left:
        return exact.state
    if before.graph is not None and before.count == state.count:
        return state
    graph = Graph(f"graph-{state.count}-{state.removed}.usearch", recall=0.0, sample=0)
    hnsw.build_graph(folder, graph.file, exact.candidates)
    approximate = CandidateIndex(folder, replace(state, graph=graph))
    contexts = _contexts(exact, model, SAMPLE)
    k = min(RECALL_AT, state.left)
    recall = hnsw.mean_recall(*(index.search(contexts, k).ids.tolist() for index in (approximate, exact)))
    return replace(state, graph=replace(graph, recall=recall, sample=len(contexts)))


def _contexts(index: CandidateIndex, model: DualEncoderSelector[Any, Any], max_contexts: int) -> EncodedContexts:
    """Encode at most `max_contexts` evenly spaced candidates as contexts of one turn."""
    numbers = index.numbers()
    sample = numbers[:: -(-len(numbers) // max_contexts)]
    return model.encode_contexts([[index.text(number)] for number in sample])
