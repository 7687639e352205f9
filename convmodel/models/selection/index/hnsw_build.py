"""The rows of an index in, a state with a graph whose recall was measured out, where search is to be approximate."""

from dataclasses import replace
from pathlib import Path

from convmodel.models.selection.index import hnsw as approximate
from convmodel.models.selection.index import storage as files
from convmodel.models.selection.index.index import CandidateIndex, encoding
from convmodel.models.selection.selector import EncodedContexts, Selector

SAMPLE = 100
"""Contexts at most that approximate search is measured with."""

RECALL_AT = 10


def with_graph(
    folder: Path,
    state: files.IndexManifest,
    before: files.IndexManifest,
    selector: Selector,
    approximately: bool | None,
) -> files.IndexManifest:
    """The state with a graph, if there is to be one; its file is made, and measured, where what is there does not fit.

    Args:
        folder: the index, with all its rows.
        state: what is to be so.
        before: what is so.
        selector: makes contexts to measure with.
        approximately: whether there is to be one; see `build_index`.
    """
    wanted = before.graph is not None if approximately is None else approximately
    if approximately is None and not wanted and state.left >= approximate.MANY:
        wanted = _contexts(folder, replace(state, graph=None), selector, 1).vectors.shape[1] == 1
    if not wanted or not state.left:
        return replace(state, graph=None)
    if before.graph is not None and before.count == state.count:
        return state
    name = f"graph-{state.count}-{state.removed}.usearch"
    plain = CandidateIndex(folder, replace(state, graph=None))
    approximate.make(folder, name, plain.candidates)
    graph = files.Graph(name, recall=0.0, sample=0)
    state = replace(state, graph=graph)
    contexts = _contexts(folder, replace(state, graph=None), selector, SAMPLE)
    k = min(RECALL_AT, state.left)
    ids = [CandidateIndex(folder, state).search(contexts, k, exact=each).ids.tolist() for each in (False, True)]
    return replace(state, graph=replace(graph, recall=approximate.recall(*ids), sample=len(contexts)))


def _contexts(folder: Path, state: files.IndexManifest, selector: Selector, most: int) -> EncodedContexts:
    """Contexts to measure with: candidates here and there, each as the only turn."""
    index = CandidateIndex(folder, state)
    left = index.numbers()
    chosen = left[:: -(-len(left) // most)]
    return encoding(selector).encode_contexts([[index.text(number)] for number in chosen])
