"""Fused scores against ten plain lines, exact search against sorting them, and their folders."""

import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from convmodel.metrics.words import words
from convmodel.models.selection.bi_encoder import BiEncoder
from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.fused_selector import FusedSelector, require_searching
from convmodel.models.selection.index.index import CandidateSet
from convmodel.models.selection.lexical import K1, B
from convmodel.models.selection.poly_encoder import PolyEncoder
from convmodel.models.selection.selector import Selector
from tests.conftest import TEXTS, MakeSelector
from tests.models.selection.convert.test_model import make as make_convert
from tests.models.selection.fusions import fused

CONTEXTS = [["Hello, how are you?", TEXTS[0]], ["Where do you live?"], [TEXTS[1], "The sea!", "And you?"]]
PERSONAS = [["I live by the sea.", "I have two cats."], [], ["I like rain."]]
CANDIDATES = [*TEXTS, "I live in a house by the sea.", "hello how are you", "Two cats.", "Rain?", "..."]


def bm25(query: str, candidate: str, selector: FusedSelector) -> float:
    """The formula of BM25 for the distinct words of a query."""
    statistics, of_candidate = selector.fusion.statistics, words(candidate)
    norm = K1 * (1 - B + B * len(of_candidate) / statistics.mean_length)
    total = 0.0
    for word in set(words(query)) & set(of_candidate):
        n, count = statistics.frequencies.get(word, 1), of_candidate.count(word)
        total += math.log(1 + (statistics.texts - n + 0.5) / (n + 0.5)) * count / (count + norm)
    return total


def features(selector: FusedSelector, context: list[str], persona: list[str], candidate: str) -> dict[str, float]:
    """All features of one candidate."""
    values = {
        "bm25_context": bm25(" ".join([*persona, *context]), candidate, selector),
        "bm25_last_turn": bm25(context[-1], candidate, selector),
        "bm25_persona": max([bm25(sentence, candidate, selector) for sentence in persona], default=0.0),
        "log_length": math.log(1 + len(words(candidate))),
        "said_already": float(any(words(turn) == words(candidate) and words(turn) for turn in context)),
    }
    encoder = selector.encoder
    if encoder is not None:
        values["encoder_context"] = float(encoder.score([context], [candidate], personas=[persona])[0, 0])
        if encoder.searches:
            vector, last, *sentences = encoder.encode_candidates([candidate, context[-1], *persona])
            values["encoder_last_turn"] = float(vector @ last)
            values["encoder_persona"] = max([float(vector @ sentence) for sentence in sentences], default=0.0)
    return values


@pytest.fixture(params=["none", "bi-encoder", "poly-encoder", "convert", "cross-encoder"])
def selector(request: pytest.FixtureRequest, make_selector: MakeSelector) -> FusedSelector:
    makers: dict[str, Any] = {
        "none": lambda: None,
        "bi-encoder": lambda: make_selector(cosine_scale=5.0),
        "poly-encoder": lambda: make_selector(cast(Any, PolyEncoder), num_codes=3),
        "convert": make_convert,
        "cross-encoder": lambda: make_selector(cast(Any, CrossEncoder), max_context=40),
    }
    return fused(makers[request.param]())


def test_a_score_is_the_weighted_sum_of_standardized_features(selector: FusedSelector) -> None:
    scores = selector.score(CONTEXTS, CANDIDATES, personas=PERSONAS)
    for row, (context, persona) in enumerate(zip(CONTEXTS, PERSONAS, strict=True)):
        parts = selector.explain(context, CANDIDATES, persona=persona)
        for column, candidate in enumerate(CANDIDATES):
            values = features(selector, context, persona, candidate)
            expected = {
                name: feature.weight * (values[name] - feature.mean) / feature.scale
                for name, feature in selector.fusion.features.items()
            }
            assert parts[column] == pytest.approx(expected, rel=1e-4, abs=1e-4)
            assert float(scores[row, column]) == pytest.approx(sum(expected.values()), rel=1e-4, abs=1e-4)


def test_pools_of_contexts_are_scored_as_one_for_all(selector: FusedSelector) -> None:
    expected = selector.score(CONTEXTS, CANDIDATES, personas=PERSONAS)
    pools = [CANDIDATES[row : row + 4] for row in range(3)]
    scores = selector.score(CONTEXTS, pools, personas=PERSONAS)
    for row in range(3):
        torch.testing.assert_close(scores[row], expected[row, row : row + 4], rtol=1e-4, atol=1e-4)
    assert selector.score([], CANDIDATES).shape == (0, len(CANDIDATES))


def test_search_finds_what_sorting_all_scores_finds(selector: FusedSelector) -> None:
    if not selector.searches:
        with pytest.raises(
            ValueError,
            match="a fused cross-encoder reads context and candidate together and cannot search; use another",
        ):
            require_searching(selector, remedy="use another")
        with pytest.raises(TypeError, match="cannot search"):
            selector.encode_contexts(CONTEXTS)
        return
    texts = list(dict.fromkeys(CANDIDATES))
    candidates = CandidateSet(selector, texts)
    scores = selector.score(CONTEXTS, texts, personas=PERSONAS)
    encoded = selector.encode_contexts(CONTEXTS, personas=PERSONAS)
    for k in (1, 4, 100):
        best = candidates.search(encoded, k)
        found = scores.gather(1, best.ids)
        torch.testing.assert_close(best.scores, found, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found, scores.sort(1, descending=True).values[:, :k], rtol=1e-5, atol=1e-5)
    parts = candidates.parts(encoded, [2, 0])
    assert [sum(part.values()) for part in parts] == pytest.approx(scores[0, [2, 0]].tolist(), abs=1e-4)


def test_a_folder_with_a_fusion_is_a_fused_selector(selector: FusedSelector, tmp_path: Path) -> None:
    selector.save_pretrained(tmp_path / "saved")
    loaded = Selector.from_pretrained(tmp_path / "saved", "cpu")
    assert isinstance(loaded, FusedSelector) and loaded.kind == selector.kind and loaded.fusion == selector.fusion
    assert loaded.fingerprint() == selector.fingerprint() and loaded.vocab_size == selector.vocab_size
    expected = selector.score(CONTEXTS, CANDIDATES, personas=PERSONAS)
    torch.testing.assert_close(loaded.score(CONTEXTS, CANDIDATES, personas=PERSONAS), expected, atol=3e-3, rtol=1e-3)
    plain = Selector.from_pretrained(tmp_path / "saved", "cpu", fusion=False)
    if selector.encoder is None:
        assert isinstance(plain, FusedSelector) and plain.fusion.features["bm25_context"].weight == 1.0
    else:
        assert type(plain) is type(selector.encoder)
        assert type(type(plain).from_pretrained(tmp_path / "saved", "cpu")) is type(plain)


def test_a_fusion_of_another_encoder_is_refused(make_selector: MakeSelector, tmp_path: Path) -> None:
    selector = make_selector()
    fused(selector).save_pretrained(tmp_path / "one")
    other = make_selector(cosine_scale=2.0)
    other.save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "fusion.json").write_bytes((tmp_path / "one" / "fusion.json").read_bytes())
    with pytest.raises(ValueError, match=r"other: fusion.json was learned with another selector .* --no-fusion"):
        Selector.from_pretrained(tmp_path / "other", "cpu")
    assert isinstance(Selector.from_pretrained(tmp_path / "other", "cpu", fusion=False), BiEncoder)
    other.save_pretrained(tmp_path / "one")  # a new model in the folder has no fusion
    assert not (tmp_path / "one" / "fusion.json").exists()


def test_a_lexical_folder_is_no_encoder(tmp_path: Path) -> None:
    fused(None).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a lexical selector; load it with Selector"):
        BiEncoder.from_pretrained(tmp_path)
