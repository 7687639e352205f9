"""The graph of approximate search, without an index."""

import re
import sys
from pathlib import Path

import pytest
import torch

from convmodel.errors import install_command
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.index import hnsw, storage
from convmodel.models.selection.index.build import build_index
from convmodel.models.selection.search.exact import search_exact
from convmodel.models.selection.search.vectors import CandidateMatrix, EncodedContexts
from tests.data.test_json_file import POINTER
from tests.models.selection.index.candidates import given

pytestmark = pytest.mark.machine


def test_without_usearch_the_error_has_the_install_command(
    selector: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(ValueError, match=f"needs usearch; {re.escape(install_command('index'))}"):
        build_index(selector, given(), tmp_path / "index", approximately=True)
    assert not (tmp_path / "index" / storage.INDEX).exists()


@pytest.mark.parametrize("codes", [1, 3])
def test_search_in_a_graph_finds_the_best_with_exact_scores_and_no_removed_candidate(
    tmp_path: Path, codes: int
) -> None:
    pytest.importorskip("usearch")
    torch.manual_seed(0)
    removed = torch.zeros(2_000, dtype=torch.bool)
    removed[::7] = True
    candidates = CandidateMatrix(torch.randn(2_000, 8) + 1, removed=removed)
    contexts = EncodedContexts(torch.randn(5, codes, 8), torch.ones(5, codes, dtype=torch.bool))
    hnsw.build_graph(tmp_path, "graph", candidates)
    state = storage.IndexManifest("", "", "", 8, "float32", count=2_000, graph=storage.Graph("graph", 0.0, 0))
    best = hnsw.search(hnsw.open_graph(tmp_path, state), contexts, candidates, 5)
    exact = search_exact(contexts, candidates, 2_000)
    assert hnsw.mean_recall(best.ids.tolist(), exact.ids[:, :5].tolist()) > 0.8
    for row in range(5):
        scores = dict(zip(exact.ids[row].tolist(), exact.scores[row].tolist(), strict=True))
        assert [scores[index] for index in best.ids[row].tolist()] == best.scores[row].tolist()
    assert torch.equal(hnsw.search(None, contexts, candidates, 1_000).ids, exact.ids[:, :1_000])  # too many for a graph


def test_a_damaged_graph_is_named(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    graph = storage.Graph("graph-20-0.usearch", 0.0, 0)
    state = storage.IndexManifest("", "", "", 8, "float32", count=20, graph=graph)
    with pytest.raises(FileNotFoundError, match=r"graph-20-0\.usearch: is missing; rebuild the index"):
        hnsw.open_graph(tmp_path, state)
    for contents, message in ((b"garbage" * 20, "is damaged"), (POINTER.encode(), "is a pointer of Git LFS")):
        (tmp_path / graph.file).write_bytes(contents)
        with pytest.raises(ValueError, match=rf"graph-20-0\.usearch: {message}"):
            hnsw.open_graph(tmp_path, state)
    hnsw.build_graph(tmp_path, graph.file, CandidateMatrix(torch.randn(20, 5)))
    with pytest.raises(ValueError, match="is damaged, or of another index; rebuild the index"):
        hnsw.open_graph(tmp_path, state)
