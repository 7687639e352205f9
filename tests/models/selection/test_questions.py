"""Features of the questions that candidates answer, against products and BM25 by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convmodel.data.candidates import CandidateText
from convmodel.models.selection.fused_selector import FusedSelector, candidate_table, feature_names, fused_contexts
from convmodel.models.selection.fusion import QUESTION_FEATURES, Feature, Fusion
from convmodel.models.selection.fusion_learning import learn_fusion
from convmodel.models.selection.index.build import build_index
from convmodel.models.selection.index.index import CandidateIndex, CandidateSet
from convmodel.models.selection.lexical import WordIndex, WordStatistics, WordTable, word_ids
from convmodel.responders.chooser import Chooser
from tests.conftest import MakeSelector
from tests.models.selection.fusions import fused

ANSWERS = ["At nine.", "On the first floor.", "By tram.", "No dogs here."]
QUESTIONS = [["When do you open?", "How early can I come?"], ["Where is the café?"], [], ["May I bring a dog?"]]
CONTEXTS = [["Hello", "When can I come?"], ["Where is the dog?"]]


def asking(selector: FusedSelector) -> FusedSelector:
    """The selector with weights of the questions' features."""
    weights = {"encoder_question": Feature(1.3, 0.2, 0.5), "bm25_question": Feature(0.8, 0.1, 2.0)}
    return FusedSelector(selector.encoder, replace(selector.fusion, features={**selector.fusion.features, **weights}))


def test_values_are_those_of_the_best_question(make_selector: MakeSelector) -> None:
    encoder = make_selector()
    texts = [text for of_answer in QUESTIONS for text in of_answer]
    statistics = WordStatistics.of([*ANSWERS, *texts])
    encoded = fused_contexts(encoder, Fusion({}, statistics), CONTEXTS, None, names=QUESTION_FEATURES)
    table = candidate_table(encoder, ANSWERS, QUESTIONS)
    for row, context in enumerate(CONTEXTS):
        values = encoded.values(row, table, QUESTION_FEATURES)
        turn = encoder.encode_candidates(context[-1:])[0]
        products = [
            [float(turn @ vector) for vector in encoder.encode_candidates(of)] if of else [] for of in QUESTIONS
        ]
        by_words = [
            WordIndex(WordTable.of(of), statistics).scores(word_ids(context[-1:])).tolist() if of else []
            for of in QUESTIONS
        ]
        assert values["encoder_question"].tolist() == pytest.approx([max(of, default=0.0) for of in products], abs=1e-5)
        assert values["bm25_question"].tolist() == pytest.approx([max(of, default=0.0) for of in by_words])
        few = encoded.values(row, table.take([3, 2]), QUESTION_FEATURES)
        assert few["encoder_question"].tolist() == pytest.approx(values["encoder_question"][[3, 2]].tolist(), abs=1e-5)
    assert not encoded.values(0, candidate_table(encoder, ANSWERS), QUESTION_FEATURES)["bm25_question"].any()


def test_the_search_of_an_index_and_of_a_list_counts_questions(make_selector: MakeSelector, tmp_path: Path) -> None:
    selector = asking(fused(make_selector()))
    metadata = [{"question": of} if of else None for of in QUESTIONS]
    encoded = selector.encode_contexts(CONTEXTS)
    table = candidate_table(selector.indexer, ANSWERS, QUESTIONS)
    expected = torch.stack([encoded.score(row, table) for row in range(2)])
    candidates = [CandidateText(text, of) for text, of in zip(ANSWERS, metadata, strict=True)]
    build_index(selector, candidates, tmp_path / "index")
    for searched in (
        CandidateSet(selector, ANSWERS, metadata=metadata),
        CandidateIndex.open(tmp_path / "index", selector),
    ):
        best = searched.search(encoded, 4)
        torch.testing.assert_close(best.scores, expected.gather(1, best.ids))
        assert best.ids.tolist() == expected.argsort(descending=True).tolist()
        [part, *_] = searched.parts(encoded, [0])
        assert set(QUESTION_FEATURES) < set(part)


def test_weights_of_questions_are_learned_with_the_candidates(make_selector: MakeSelector, tmp_path: Path) -> None:
    nouns = ["sea", "rain", "piano", "guitar", "house", "cat", "dog", "tea"]
    candidates = [CandidateText(f"Number {n}.", {"question": f"Where is the {noun}?"}) for n, noun in enumerate(nouns)]
    lines = [json.dumps([f"I look for a {noun}", f"Number {n}."]) for n, noun in enumerate(nouns)]
    (tmp_path / "talk.jsonl").write_text("\n".join(lines))
    learned = learn_fusion(make_selector(), tmp_path / "talk.jsonl", candidates=candidates)
    assert learned.recall["bm25_question"] == 1.0 and learned.fusion.features["bm25_question"].weight > 0.3
    assert learned.fusion.calibration is not None
    learned.fusion.write(tmp_path)
    assert Fusion.read(tmp_path) == learned.fusion
    assert feature_names(None, questions=True)[0] == "bm25_question"
    assert np.isclose(learned.table[0].coverage, 1.0)


def test_a_selector_learned_on_single_questions_reads_the_last_turn_only(
    make_selector: MakeSelector, tmp_path: Path
) -> None:
    plain = fused(make_selector())
    selector = FusedSelector(plain.encoder, replace(plain.fusion, last_turn_only=True))
    assert selector.fingerprint() != plain.fingerprint()
    scores = selector.score([["Hello", "Hi", CONTEXTS[1][0]]], ANSWERS)
    torch.testing.assert_close(scores, plain.score(CONTEXTS[1:], ANSWERS))
    with Chooser(selector, ANSWERS) as chooser:
        reply = chooser.start(CONTEXTS[1]).result().text
        assert chooser.start([*CONTEXTS[1], reply, *CONTEXTS[1]]).result().text == reply
    for name, context in (("one", ["Where?"]), ("two", ["Hello", "Where?"])):
        lines = [json.dumps({"context": context, "response": text, "distractors": ["No."]}) for text in ANSWERS]
        (tmp_path / name).with_suffix(".jsonl").write_text("\n".join(lines))
    assert learn_fusion(plain, tmp_path / "one.jsonl").fusion.last_turn_only
    assert not learn_fusion(plain, tmp_path / "two.jsonl").fusion.last_turn_only
