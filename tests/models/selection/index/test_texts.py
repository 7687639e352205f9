"""Words of an index: appended, removed, resumed, and added to an index that has none."""

import json
from pathlib import Path

import numpy as np
import pytest

from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.index import storage
from convmodel.models.selection.index.build import build_index, remove_candidates
from convmodel.models.selection.index.index import CandidateIndex
from convmodel.models.selection.lexical import WordTable
from convmodel.models.selection.selector import Selector
from tests.models.selection.fusions import fused
from tests.models.selection.index.candidates import TEXTS, given

CONTEXT = ["Do you like the sea?", "I see the house."]


def check(folder: Path, selector: Selector, texts: list[str]) -> None:
    """Check that a search finds what scoring and sorting all texts finds."""
    searching = fused(selector if isinstance(selector, BiEncoder) else None)
    index = CandidateIndex.open(folder, searching)
    best = index.search(searching.encode_contexts([CONTEXT]), 5)
    scores = dict(zip(texts, searching.score([CONTEXT], texts)[0].tolist(), strict=True))
    assert best.scores[0].tolist() == pytest.approx(sorted(scores.values(), reverse=True)[:5], abs=1e-4)
    found = [index.text(number) for number in best.ids[0].tolist()]
    assert [scores[text] for text in found] == pytest.approx(best.scores[0].tolist(), abs=1e-4)
    assert sum(index.parts(searching.encode_contexts([CONTEXT]), best.ids[0].tolist())[0].values()) == pytest.approx(
        float(best.scores[0, 0]), abs=1e-4
    )


@pytest.mark.parametrize("lexical", [False, True])
def test_words_are_appended_and_removed_with_the_candidates(selector: BiEncoder, tmp_path: Path, lexical: bool) -> None:
    model: Selector = fused(None) if lexical else selector
    build_index(model, given(TEXTS[:20]), tmp_path)
    check(tmp_path, model, TEXTS[:20])
    build_index(model, given(TEXTS), tmp_path, append=True)
    check(tmp_path, model, TEXTS)
    best = CandidateIndex.open(tmp_path, fused(None if lexical else selector))
    remove_candidates(tmp_path, model, texts=TEXTS[3:9])
    check(tmp_path, model, TEXTS[:3] + TEXTS[9:])
    assert len(best) == 30  # an open index does not change


def test_an_interrupted_index_has_the_words_of_an_uninterrupted_one(selector: BiEncoder, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(selector, given(), tmp_path / "index", batch=8, progress=stop)
    build_index(selector, given(), tmp_path / "index", batch=8)
    table, expected = CandidateIndex.open(tmp_path / "index", selector).table.words(), WordTable.of(TEXTS)
    assert np.array_equal(table.rows, expected.rows) and np.array_equal(table.ends, expected.ends)


def test_an_index_without_words_is_searched_and_gets_them_when_it_grows(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(TEXTS[:20]), tmp_path)
    for name in ("words.bytes", "words.ends"):
        (tmp_path / name).unlink()
    saved = json.loads((tmp_path / storage.INDEX).read_text())
    del saved["words"]
    (tmp_path / storage.INDEX).write_text(json.dumps(saved))
    check(tmp_path, selector, TEXTS[:20])
    build_index(selector, given(), tmp_path, append=True)
    assert storage.read_state(tmp_path).words and (tmp_path / "words.bytes").stat().st_size
    check(tmp_path, selector, TEXTS)


def test_damaged_words_are_told_with_their_file(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(), tmp_path)
    data = bytearray((tmp_path / "words.bytes").read_bytes())
    data[8:12] = b"\x01\x00\x00\x00"
    (tmp_path / "words.bytes").write_bytes(data)
    searching = fused(selector)
    with pytest.raises(ValueError, match=r"words.bytes: is damaged .*; rebuild the index"):
        CandidateIndex.open(tmp_path, searching).search(searching.encode_contexts([CONTEXT]), 3)


def test_a_fused_score_is_not_searched_approximately(selector: BiEncoder, tmp_path: Path) -> None:
    build_index(selector, given(), tmp_path)
    searching = fused(selector)
    with pytest.raises(ValueError, match="a fused score is searched exactly"):
        CandidateIndex.open(tmp_path, searching).search(searching.encode_contexts([CONTEXT]), 3, exact=False)
