"""Weights learned from files: the features are those of the selector, and the response comes first more often."""

import json
import random
from pathlib import Path
from typing import Any, cast

import pytest

from convmodel.models.selection.cross_encoder import CrossEncoder
from convmodel.models.selection.fused_selector import feature_names
from convmodel.models.selection.fusion_learning import file_digests, learn_fusion
from convmodel.models.selection.selector import Selector
from tests.conftest import MakeSelector
from tests.models.selection.fusions import fused

NOUNS = ["sea", "rain", "piano", "guitar", "house", "cat", "dog", "tea"]


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    """Replies that repeat a word of the turn before them."""
    lines = [[f"Do you like the {noun} {n}?", f"Yes, the {noun} is what I like"] for n in range(6) for noun in NOUNS]
    (tmp_path / "talk.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "talk.jsonl"


@pytest.mark.parametrize("kind", ["none", "bi-encoder", "cross-encoder"])
def test_what_tells_the_response_gets_the_weight(kind: str, conversations: Path, make_selector: MakeSelector) -> None:
    encoder: Selector | None = None
    if kind == "bi-encoder":
        encoder = make_selector()
    elif kind == "cross-encoder":
        encoder = make_selector(cast(Any, CrossEncoder), max_context=40)
    selector = fused(None) if encoder is None else encoder
    learned = learn_fusion(selector, conversations, pool=5, limit=16)
    assert list(learned.fusion.features) == feature_names(encoder)
    assert learned.fusion.features["bm25_last_turn"].weight > 0.3
    assert learned.fused_recall == 1.0 >= learned.recall["bm25_last_turn"] > learned.recall["log_length"] == 0.0
    assert learned.fusion.encoder == (None if encoder is None else encoder.fingerprint())
    assert learned.fusion.learned_on["examples"] == 16
    assert learned.fusion.learned_on["files"] == file_digests(conversations) != {}
    again = learn_fusion(selector, conversations, pool=5, limit=16)
    assert again.fusion.features == learned.fusion.features


def test_examples_keep_their_own_candidates(tmp_path: Path, make_selector: MakeSelector) -> None:
    source = random.Random(0)
    lines = []
    for noun in NOUNS:
        others = [f"I have a {other}" for other in source.sample(NOUNS, 3) if other != noun]
        lines.append(
            {"context": [f"A {noun}?"], "response": f"Yes, a {noun}", "distractors": others, "persona": ["I am."]}
        )
    (tmp_path / "pools.jsonl").write_text("\n".join(map(json.dumps, lines)))
    learned = learn_fusion(make_selector(), tmp_path / "pools.jsonl", limit=0)
    texts = {text for line in lines for text in (line["response"], *line["distractors"])}
    assert learned.fusion.statistics.texts == len(texts) and learned.fused_recall == 1.0


def test_nothing_to_learn_is_told(tmp_path: Path, conversations: Path) -> None:
    (tmp_path / "same.jsonl").write_text('["Hello", "Yes"]\n["Hi", "Yes"]')
    with pytest.raises(ValueError, match=r"same.jsonl: no response has another candidate beside it"):
        learn_fusion(fused(None), tmp_path / "same.jsonl")
    with pytest.raises(ValueError, match="pool=1, limit=5; allowed are at least 2, and at least 0"):
        learn_fusion(fused(None), conversations, pool=1, limit=5)
