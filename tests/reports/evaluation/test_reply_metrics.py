"""The numbers of replies, computed again from the saved lines."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import sacrebleu

from convmodel.metrics.overlap import f1
from convmodel.metrics.words import words
from convmodel.reports.evaluation import Evaluation, evaluate, load_report
from tests.reports.evaluation.helpers import OPTIONS, lines_of, some_conversations


def test_the_numbers_are_those_of_the_saved_replies(evaluated: Evaluation, tmp_path: Path) -> None:
    evaluated.save(tmp_path / "report")
    lines = lines_of(tmp_path / "report" / "replies.jsonl")
    replies = [str(line["reply"]) for line in lines]
    golds = [str(line["gold"]) for line in lines]
    conversations = some_conversations()
    assert golds == [conversation.turns[-1] for conversation in conversations]
    assert [line["context"] for line in lines] == [list(conversation.turns[:-1]) for conversation in conversations]
    report, _ = load_report(tmp_path / "report")
    assert report == evaluated.report
    expected = {
        "bleu": sacrebleu.corpus_bleu(replies, [golds]).score,
        "chrf": sacrebleu.corpus_chrf(replies, [golds]).score,
        "f1": sum(f1(a, b) for a, b in zip(replies, golds, strict=True)) / len(lines),
        "length": sum(len(words(reply)) for reply in replies) / len(lines),
        "distinct_1": len({w for r in replies for w in words(r)}) / sum(len(words(r)) for r in replies),
    }
    for name, value in expected.items():
        assert report[name].value == pytest.approx(value), name
        low, high = report[name].low, report[name].high
        assert low is not None and high is not None and low <= value <= high
    assert report["length"].gold == pytest.approx(sum(len(words(gold)) for gold in golds) / len(lines))
    for line in lines:
        assert line["f1"] == f1(str(line["reply"]), str(line["gold"]))


def test_perplexity_is_that_of_the_saved_likelihoods(evaluated: Evaluation) -> None:
    read = evaluated.lines["likelihoods.jsonl"]
    nats = sum(sum(conversation.nats) for conversation in read)
    tokens = sum(sum(conversation.tokens) for conversation in read)
    assert evaluated.report["perplexity"].value == pytest.approx(math.exp(nats / tokens))
    for reply in evaluated.lines["replies.jsonl"]:
        assert reply.gold_log_likelihood == -read[reply.conversation - 1].nats[reply.turn - 1]


def test_a_note_suggests_characters_for_scripts_without_spaces(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ja.jsonl").write_text('["こんにちは", "こんにちは、元気ですか？"]\n' * 2, encoding="utf-8")
    for tokenize, notes in (("13a", 1), ("char", 0)):
        options = replace(OPTIONS, bleu_tokenize=tokenize, resamples=5)
        evaluation = evaluate(folder / "model", tmp_path / "ja.jsonl", options=options, device="cpu")
        assert len(evaluation.report.notes) == notes
        assert f"tok:{tokenize}" in evaluation.report.signatures["bleu"]
