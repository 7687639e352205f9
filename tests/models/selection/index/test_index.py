"""Indexes that are opened and searched, and candidates in memory."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.index import storage
from convmodel.models.selection.index.build import build_index, remove_candidates
from convmodel.models.selection.index.index import CandidateIndex, CandidateSet
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.selector import Selector
from tests.models.selection.conftest import MakeSelector
from tests.models.selection.index.candidates import TEXTS, content, given

pytestmark = pytest.mark.machine


@pytest.mark.parametrize("cls", [BiEncoder, PolyEncoder])
def test_search_equals_scoring_all_texts(make_selector: MakeSelector, cls: type[BiEncoder], tmp_path: Path) -> None:
    selector = make_selector(cls)
    built = build_index(selector, given(), tmp_path / "index", batch=7)
    assert (built.added, built.repeated, built.resumed, built.state.left) == (30, 0, 0, 30)
    index = CandidateIndex.open(tmp_path / "index", selector)
    memory = CandidateSet(selector, TEXTS)
    contexts = [["Do you like the sea?"], ["Hello", "And you?"]]
    scores = selector.score(contexts, TEXTS)
    for searched in (index, memory):
        best = searched.search(selector.encode_contexts(contexts), 5)
        torch.testing.assert_close(best.scores, scores.topk(5).values, rtol=1e-4, atol=1e-4)
        assert torch.equal(best.ids, scores.topk(5).indices)
        assert [searched.text(number) for number in best.ids[0].tolist()] == [
            TEXTS[n] for n in scores[0].topk(5).indices
        ]
        assert len(searched) == 30
        assert searched.search(selector.encode_contexts(contexts), 99).ids.shape == (2, 30)


def test_a_repeated_text_in_memory_is_found_once_at_its_first_position(selector: BiEncoder) -> None:
    memory = CandidateSet(selector, ["rain", "sea", " rain", "house"], metadata=[{"n": 0}, None, {"n": 2}, None])
    best = memory.search(selector.encode_contexts([["Hello"]]), 9)
    assert len(memory) == 3 and sorted(best.ids[0].tolist()) == [0, 1, 3]
    assert memory.metadata(0) == {"n": 0} and memory.metadata(1) is None and memory.text(2) == " rain"
    with pytest.raises(ValueError, match="metadata of 1 for 2 texts"):
        CandidateSet(selector, ["a", "b"], metadata=[None])


def test_concurrent_searches_find_the_same(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(), tmp_path / "index")
    index = CandidateIndex.open(tmp_path / "index", selector)
    contexts = selector.encode_contexts([["Hello"], ["sea"]])
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(index.search(contexts, 4).ids.tolist())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [results[0]] * 8


def test_readers_see_the_old_index_while_candidates_are_added(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(TEXTS[:20]), tmp_path / "index")
    contexts = selector.encode_contexts([["Hello"]])
    opened = CandidateIndex.open(tmp_path / "index", selector)
    expected = opened.search(contexts, 20).ids.tolist()

    def look(done: int, total: int) -> None:
        again = CandidateIndex.open(tmp_path / "index", selector)
        assert len(again) == 20 and again.search(contexts, 20).ids.tolist() == expected

    build_index(selector, given(), tmp_path / "index", append=True, batch=3, progress=look)
    assert opened.search(contexts, 99).ids.tolist() == expected and opened.text(19) == TEXTS[19]
    assert len(CandidateIndex.open(tmp_path / "index", selector)) == 30


def test_another_model_is_refused_with_both_fingerprints(make_selector: MakeSelector, tmp_path: Path) -> None:
    selector = make_selector()
    other = make_selector(PolyEncoder)
    build_index(selector, given(), tmp_path / "index")
    before = content(tmp_path / "index")
    for call in (
        lambda: CandidateIndex.open(tmp_path / "index", other),
        lambda: build_index(other, given(["new"]), tmp_path / "index", append=True),
        lambda: remove_candidates(tmp_path / "index", other, numbers=[0]),
    ):
        with pytest.raises(ValueError, match="was made with another model") as error:
            call()
        assert selector.fingerprint() in str(error.value) and other.fingerprint() in str(error.value)
    assert content(tmp_path / "index") == before


@pytest.mark.parametrize("bf16", ["0", "1"])
def test_an_index_gives_the_same_results_on_another_machine(
    selector: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bf16: str
) -> None:
    selector.save_pretrained(tmp_path / "model")
    monkeypatch.setenv("CONVMODEL_BF16", bf16)
    first = Selector.from_pretrained(tmp_path / "model", device="cpu")
    assert isinstance(first, BiEncoder)
    assert first.dtype == "float32"
    build_index(first, given(), tmp_path / "index")
    monkeypatch.setenv("CONVMODEL_BF16", "1" if bf16 == "0" else "0")
    second = Selector.from_pretrained(tmp_path / "model", device="cpu")
    assert isinstance(second, BiEncoder)
    assert second.fingerprint() == first.fingerprint() == selector.fingerprint()
    contexts = [["Hello"], ["Do you like the sea?", "I like the rain."]]
    results = [
        CandidateIndex.open(tmp_path / "index", model).search(model.encode_contexts(contexts), 7)
        for model in (first, second)
    ]
    assert torch.equal(results[0].ids, results[1].ids) and torch.equal(results[0].scores, results[1].scores)


def test_a_model_of_another_dtype_warns_when_searching_and_is_refused_when_adding(
    selector: BiEncoder, tmp_path: Path
) -> None:
    selector.save_pretrained(tmp_path / "model")
    low = Selector.from_pretrained(tmp_path / "model", device="cpu", dtype="bfloat16")
    assert low.dtype == "bfloat16" and low.fingerprint() == selector.fingerprint()
    build_index(low, given(), tmp_path / "index")
    assert storage.read_state(tmp_path / "index").model_dtype == "bfloat16"
    CandidateIndex.open(tmp_path / "index", low)
    with pytest.warns(UserWarning, match="computed in bfloat16, and the model is loaded in float32"):
        CandidateIndex.open(tmp_path / "index", selector)
    with pytest.raises(ValueError, match=r"computed in bfloat16.*float32; load it with --dtype bfloat16"):
        build_index(selector, given(["new"]), tmp_path / "index", append=True)


def test_a_cross_encoder_is_refused(tmp_path: Path) -> None:
    class Both(Selector):
        kind = "cross-encoder"

        def __init__(self) -> None:
            pass

        def options(self) -> dict[str, Any]:
            raise NotImplementedError

        build = score = options  # type: ignore[assignment]

    with pytest.raises(ValueError, match="a cross-encoder reads context and candidate together"):
        build_index(Both(), given(), tmp_path / "index")
