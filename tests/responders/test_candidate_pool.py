"""Pools of candidates against scoring all of them, and lists of candidates in files."""

import gzip
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from convmodel.data.candidates import distinct_candidates
from convmodel.data.conversation import ConversationFileError
from convmodel.models.selection.search.exact import TopK
from convmodel.models.selection.search.vectors import EncodedContexts
from convmodel.responders.candidate_pool import VectorPool, make_pool
from tests.conftest import TEXTS, MakeSelector
from tests.models.selection.models import ReadsTogether

CONTEXT = ["Hello, how are you?", "I am fine, thanks. And you?"]
PERSONA = ["I live in a small house by the sea."]
CANDIDATES = [*TEXTS, "Yes", "No", "Maybe", "It rains."]


class Kept:
    """Candidates that somebody else keeps, whose numbers have gaps as after a removal."""

    def __init__(self, texts: list[str], vectors: Tensor) -> None:
        self.texts, self.vectors = texts, vectors

    def __len__(self) -> int:
        return len(self.texts)

    def search(self, contexts: EncodedContexts, k: int) -> TopK:
        scores = contexts.vectors[:, 0] @ self.vectors.T
        top = scores.topk(min(k, len(self)))
        return TopK(top.indices * 10 + 3, top.values)

    def text(self, number: int) -> str:
        return self.texts[(number - 3) // 10]

    def metadata(self, number: int) -> dict[str, Any] | None:
        return {"id": number} if number < 50 else None


def test_a_list_is_searched_as_if_all_were_scored_whether_it_is_encoded_or_read(make_selector: MakeSelector) -> None:
    selector = make_selector()
    scores = selector.score([CONTEXT], CANDIDATES, personas=[PERSONA])[0].tolist()
    expected = sorted(range(len(scores)), key=lambda number: -scores[number])
    for pool in (make_pool(selector, CANDIDATES), make_pool(ReadsTogether(selector), CANDIDATES)):
        best = pool.best(CONTEXT, PERSONA, 5)
        assert [number for number, _ in best] == expected[:5] and len(pool) == len(CANDIDATES)
        assert [score for _, score in best] == pytest.approx([scores[n] for n in expected[:5]], abs=1e-5)
        assert [number for number, _ in pool.best(CONTEXT, PERSONA, 100)] == expected
        assert pool.text(2) == CANDIDATES[2] and pool.metadata(2) is None
    assert pool.best(CONTEXT, (), 5)[0][1] != best[0][1]


def test_candidates_that_are_kept_elsewhere_are_searched_by_their_own_numbers(make_selector: MakeSelector) -> None:
    selector = make_selector()
    kept = Kept(CANDIDATES, selector.encode_candidates(CANDIDATES))
    pool = make_pool(selector, kept)
    assert isinstance(pool, VectorPool) and len(pool) == len(CANDIDATES)
    listed = make_pool(selector, CANDIDATES).best(CONTEXT, (), 3)
    best = pool.best(CONTEXT, (), 3)
    assert [pool.text(number) for number, _ in best] == [CANDIDATES[number] for number, _ in listed]
    assert [number for number, _ in best] == [10 * number + 3 for number, _ in listed]
    assert pool.metadata(3) == {"id": 3} and pool.metadata(73) is None


def test_invalid_pools_are_rejected(make_selector: MakeSelector) -> None:
    selector = make_selector()
    with pytest.raises(TypeError, match="a cross-encoder reads context and candidate together and cannot search"):
        make_pool(ReadsTogether(selector), Kept(["Yes"], torch.zeros(1, 16)))
    with pytest.raises(ValueError, match="no candidates to choose from"):
        make_pool(selector, Kept([], torch.zeros(0, 16)))
    with pytest.raises(ValueError, match="there are no candidates; give at least one"):
        make_pool(selector, [])
    with pytest.raises(ValueError, match="candidate 2 is only white space"):
        make_pool(selector, ["Yes", " "])


def test_a_list_is_read_one_a_line_without_blank_ones_and_repetitions(tmp_path: Path) -> None:
    text = "\ufeffYes\r\n\n  No \nYes\n日本 \u00a0\n"
    (tmp_path / "plain").write_text(text, encoding="utf-8")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("plain", "packed.gz"):
        assert [candidate.text for candidate in distinct_candidates(tmp_path / name)] == ["Yes", "No", "日本"]
    (tmp_path / "known.jsonl").write_text('{"text": "Yes", "id": 7}\n"No"\n{"text": "Yes ", "id": 8}\n')
    candidates = distinct_candidates(tmp_path / "known.jsonl")
    assert [(candidate.text, candidate.metadata) for candidate in candidates] == [("Yes", {"id": 7}), ("No", None)]


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"Yes\n\xff\n", "list:2: not UTF-8"), (b" \n\n", "list: there are no candidates in it")],
)
def test_an_unreadable_list_is_an_error_with_its_line(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "list").write_bytes(data)
    with pytest.raises(ConversationFileError, match=told):
        distinct_candidates(tmp_path / "list")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        distinct_candidates(tmp_path / "none")
