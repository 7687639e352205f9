"""What the names of folders and files come to, with an index that is a fake of the real one."""

from pathlib import Path
from typing import Any

import pytest

from convmodel.candidates import CandidateText
from convmodel.chooser import Chooser
from convmodel.hybrid import Hybrid
from convmodel.opening import open_responder
from convmodel.selection.index.building import build_index
from convmodel.selection.selector import Selector
from convmodel.writer import Writer
from tests.conftest import TEXTS, MakeModel, MakeSelector
from tests.selectors import ReadsTogether


@pytest.fixture
def parts(tmp_path: Path, make_model: MakeModel, make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_model().save_pretrained(tmp_path / "model")
    selector = make_selector()
    selector.save_pretrained(tmp_path / "selector")
    build_index(selector, map(CandidateText, ["Yes", "No"]), tmp_path / "index")
    build_index(make_selector(pooling="last"), map(CandidateText, ["Yes", "No"]), tmp_path / "other")
    (tmp_path / "list.txt").write_text("\n".join(TEXTS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "kind", "ranked_by"),
    [
        ({"model": "model"}, Writer, ""),
        ({"model": "model", "reranker": "likelihood"}, Writer, ""),
        ({"selector": "selector", "candidates": "list.txt"}, Chooser, "bi-encoder"),
        ({"selector": "selector", "index": "index"}, Chooser, "bi-encoder"),
        ({"selector": "selector", "index": "index", "reranker": "selector"}, Chooser, "bi-encoder"),
        ({"selector": "selector", "index": "index", "reranker": "selector/"}, Hybrid, "bi-encoder"),
        ({"model": "model", "selector": "selector", "index": "index"}, Hybrid, "bi-encoder"),
        ({"model": "model", "selector": "selector"}, Hybrid, "bi-encoder"),
        ({"model": "model", "reranker": "./selector"}, Hybrid, "bi-encoder"),
        (
            {"model": "model", "selector": "selector", "candidates": "list.txt", "reranker": "likelihood"},
            Hybrid,
            "likelihood",
        ),
        ({"model": "model", "selector": "selector", "dtype": "int8"}, Hybrid, "bi-encoder"),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else None,
)
def test_what_is_named_replies(parts: Path, given: dict[str, Any], kind: type[Any], ranked_by: str) -> None:
    with open_responder(**given, device="cpu") as responder:
        assert type(responder) is kind
        reply = responder.start(["Hello"], seed=1).reply()
    assert reply.text and reply.ranked_by == ranked_by
    if given.keys() == {"selector", "index"}:
        assert reply.text in ("Yes", "No")


def test_an_index_of_another_model_and_one_that_a_cross_encoder_cannot_search_are_refused(
    parts: Path, make_selector: MakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="other: was made with another model"):
        open_responder(selector="selector", index="other", device="cpu", dtype="float32")
    reads = ReadsTogether(make_selector())
    monkeypatch.setattr(Selector, "from_pretrained", lambda *_: reads)
    with pytest.raises(ValueError, match="index: a cross-encoder reads context and candidate together and searches no"):
        open_responder(selector="cross", index="index")
    with open_responder(selector="cross", candidates="list.txt") as responder:
        assert responder.start(["Hello"]).reply().ranked_by == "cross-encoder"


def test_nothing_and_too_much_are_refused() -> None:
    with pytest.raises(ValueError, match="there is nothing that replies; give a model that writes"):
        open_responder()
    with pytest.raises(ValueError, match="there are an index and a file of candidates; give one of them"):
        open_responder(selector="selector", index="index", candidates="list.txt")
