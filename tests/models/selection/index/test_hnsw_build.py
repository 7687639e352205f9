"""When an index gets a graph, and its recall against exact search."""

from pathlib import Path

import pytest

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.index import hnsw
from convmodel.models.selection.index.build import build_index, remove_candidates
from convmodel.models.selection.index.index import CandidateIndex
from convmodel.models.selection.poly_encoder import PolyEncoder
from tests.models.selection.conftest import MakeSelector
from tests.models.selection.index.candidates import TEXTS, given

pytestmark = pytest.mark.machine


@pytest.mark.parametrize("cls", [BiEncoder, PolyEncoder])
def test_search_in_a_graph_finds_nearly_all_of_the_best(
    make_selector: MakeSelector, cls: type[BiEncoder], tmp_path: Path
) -> None:
    pytest.importorskip("usearch")
    selector = make_selector(cls)
    texts = [f"{a} {b} {c}" for a in TEXTS for b in ("sea", "rain", "you", "guitar") for c in "?!.,"]
    built = build_index(selector, given(texts), tmp_path / "index", approximately=True)
    graph = built.state.graph
    assert graph is not None and graph.recall > 0.9 and graph.sample >= 50
    index = CandidateIndex.open(tmp_path / "index", selector)
    contexts = selector.encode_contexts([["Hello"], ["sea"]])
    exact = index.search(contexts, 10, exact=True)
    near = index.search(contexts, 10)
    measured = hnsw.mean_recall(near.ids.tolist(), exact.ids.tolist())
    assert measured > 0.8 and (near.scores <= exact.scores).all()
    everything = index.search(contexts, len(index), exact=True)
    scores = dict(zip(everything.ids[0].tolist(), everything.scores[0].tolist(), strict=True))
    assert [scores[number] for number in near.ids[0].tolist()] == near.scores[0].tolist()
    remove_candidates(tmp_path / "index", selector, numbers=near.ids.flatten().tolist())
    after = CandidateIndex.open(tmp_path / "index", selector).search(contexts, 10)
    assert not {*after.ids.flatten().tolist()} & {*near.ids.flatten().tolist()}
    grown = build_index(selector, given(["quite new"]), tmp_path / "index", append=True).state
    assert grown.graph is not None and grown.graph.file != graph.file
    assert [path.name for path in (tmp_path / "index").glob("graph-*")] == [grown.graph.file]
    plain = build_index(selector, given(), tmp_path / "index", append=True, approximately=False).state
    assert plain.graph is None and not list((tmp_path / "index").glob("graph-*"))
    with pytest.raises(ValueError, match="was made without approximate search"):
        CandidateIndex.open(tmp_path / "index", selector).search(contexts, 1, exact=False)


def test_from_a_million_on_search_is_approximate_where_a_context_has_one_vector(
    make_selector: MakeSelector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("usearch")
    monkeypatch.setattr(hnsw, "MANY", 30)
    assert build_index(make_selector(), given(TEXTS[1:]), tmp_path / "few").state.graph is None
    assert build_index(make_selector(), given(), tmp_path / "many").state.graph is not None
    assert build_index(make_selector(PolyEncoder), given(), tmp_path / "poly").state.graph is None
