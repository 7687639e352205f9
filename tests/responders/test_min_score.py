"""Choosers and hybrids that reply only if the best candidate is likely enough."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from convmodel.cli.chat.describe import explain
from convmodel.models.selection.calibration import Calibration
from convmodel.models.selection.fused_selector import FusedSelector
from convmodel.responders.chooser import Chooser
from convmodel.responders.hybrid import Hybrid
from convmodel.responders.loading import load_all, open_responder
from convmodel.responders.protocol import FALLBACK
from convmodel.responders.writer import Writer
from convmodel.serving.schemas import CandidateBody, Options
from tests.conftest import TEXTS, MakeModel, MakeSelector
from tests.models.selection.fusions import fused

CONTEXT = ["Do you like the rain?"]
CALIBRATION = Calibration(0.0, 0.5, 0.9, 0.9, 0.5)


@pytest.fixture
def selector(make_selector: MakeSelector) -> FusedSelector:
    plain = fused(make_selector())
    return FusedSelector(plain.encoder, replace(plain.fusion, calibration=CALIBRATION))


@pytest.fixture
def chooser(selector: FusedSelector) -> Iterator[Chooser]:
    with Chooser(selector, TEXTS, fallback="Ask at the desk.") as made:
        yield made


def test_below_min_score_the_reply_is_the_fallback_and_the_candidates_follow(
    chooser: Chooser, selector: FusedSelector
) -> None:
    scores = selector.score([CONTEXT], [text for text in TEXTS if text not in CONTEXT])[0].sort(descending=True).values
    always = chooser.start(CONTEXT).result()
    assert always.confidence is not None
    assert always.confidence == pytest.approx(CALIBRATION.probability(scores.tolist()), abs=1e-5)
    assert always.min_score is None and always.candidates[0].source == "chosen"
    for wanted, source in ((always.confidence - 0.01, "chosen"), (always.confidence + 0.01, "fallback")):
        reply = chooser.start(CONTEXT, options={"min_score": wanted, "num_candidates": 1}).result()
        assert (reply.candidates[0].source, reply.min_score) == (source, wanted)
        assert reply.confidence == always.confidence
    assert reply.text == "Ask at the desk." and reply.candidates[1:] == always.candidates[:1]
    assert "below min_score" in explain(reply) and "below" not in explain(always)
    assert chooser.start(CONTEXT, options={"min_score": "auto"}).result().min_score == 0.9
    assert [candidate.source for candidate in chooser.search(CONTEXT, k=2)] == ["chosen", "chosen"]
    fields = {name: getattr(reply.candidates[0], name) for name in CandidateBody.model_fields}
    assert CandidateBody.model_validate(fields).source == "fallback"


def test_a_hybrid_lets_the_writer_reply(selector: FusedSelector, make_model: MakeModel) -> None:
    with Chooser(selector, TEXTS) as chooser, Writer(make_model()) as writer, Hybrid(writer, chooser) as hybrid:
        options = {"num_candidates": 2, "max_new_tokens": 3}
        both = hybrid.start(CONTEXT, options=options, seed=1).result()
        assert {candidate.source for candidate in both.candidates} >= {"chosen"}
        unsure = hybrid.start(CONTEXT, options={**options, "min_score": 1.0}, seed=1).result()
        assert {candidate.source for candidate in unsure.candidates} == {"written"}
        assert (unsure.confidence, unsure.min_score) == (both.confidence, 1.0)
    with Chooser(selector, TEXTS) as chooser, Hybrid(None, chooser, scorer="selector") as hybrid:
        assert hybrid.start(CONTEXT, options={"min_score": 1.0}).result().text == FALLBACK


def test_values_are_checked(chooser: Chooser, make_selector: MakeSelector, tmp_path: Path) -> None:
    for value in (-0.1, 1.5, True, "often"):
        with pytest.raises(ValueError, match=r"min_score=.*; allowed are probabilities from 0"):
            chooser.check_options({"min_score": value})
    with pytest.raises(ValueError, match=r"min_score=0.5: the selector has no calibration.*convmodel fuse"):
        Chooser(make_selector(), TEXTS, options={"min_score": 0.5})
    assert Options.model_validate({"min_score": "auto"}).given() == {"min_score": "auto"}
    make_selector().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"fallback='No.' has no effect without candidates"):
        load_all(selector=tmp_path, fallback="No.")


def test_the_folder_keeps_the_calibration(selector: FusedSelector, tmp_path: Path) -> None:
    selector.save_pretrained(tmp_path / "selector")
    (tmp_path / "list.txt").write_text("\n".join(TEXTS))
    candidates = tmp_path / "list.txt"
    with open_responder(
        selector=tmp_path / "selector", candidates=candidates, min_score="auto", fallback="No."
    ) as responder:
        assert responder.options["min_score"] == "auto"
        assert responder.start(CONTEXT).result().text == "No."
