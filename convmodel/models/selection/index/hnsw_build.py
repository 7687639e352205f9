"""Building the graph of an index and measuring its recall against exact search."""

from dataclasses import replace
from pathlib import Path

from convmodel.models.selection.index import hnsw
from convmodel.models.selection.index.index import CandidateIndex, require_dual_encoder
from convmodel.models.selection.index.storage import Graph, IndexManifest
from convmodel.models.selection.search.vectors import EncodedContexts
from convmodel.models.selection.selector import Selector

SAMPLE = 100
"""Largest number of contexts that recall is measured with."""

RECALL_AT = 10


def update_graph(
    folder: Path, state: IndexManifest, before: IndexManifest, selector: Selector, approximately: bool | None
) -> IndexManifest:
    """Return the manifest that is about to be written with its graph, if the index is to have one, see `build_index`.

    A graph that no longer matches the candidates is rebuilt and its recall measured. All rows are written already.

    Args:
        before: the manifest in effect.
    """
    wanted = before.graph is not None if approximately is None else approximately
    if approximately is None and not wanted and state.left >= hnsw.MANY:
        wanted = _contexts(folder, replace(state, graph=None), selector, 1).vectors.shape[1] == 1
    if not wanted or not state.left:
        return replace(state, graph=None)
    if before.graph is not None and before.count == state.count:
        return state
    name = f"graph-{state.count}-{state.removed}.usearch"
    plain = CandidateIndex(folder, replace(state, graph=None))
    hnsw.build_graph(folder, name, plain.candidates)
    graph = Graph(name, recall=0.0, sample=0)
    state = replace(state, graph=graph)
    contexts = _contexts(folder, replace(state, graph=None), selector, SAMPLE)
    k = min(RECALL_AT, state.left)
    index = CandidateIndex(folder, state)
    approximate, exact = (index.search(contexts, k, exact=is_exact).ids.tolist() for is_exact in (False, True))
    recall = hnsw.mean_recall(approximate, exact)
    return replace(state, graph=replace(graph, recall=recall, sample=len(contexts)))


def _contexts(folder: Path, state: IndexManifest, selector: Selector, max_contexts: int) -> EncodedContexts:
    """Encode evenly spaced candidates as contexts of one turn, to measure recall with."""
    index = CandidateIndex(folder, state)
    ids = index.numbers()
    sample = ids[:: -(-len(ids) // max_contexts)]
    return require_dual_encoder(selector).encode_contexts([[index.text(candidate)] for candidate in sample])
