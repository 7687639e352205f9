"""A report from end to end: its numbers, its files, and that it is the same every time."""

import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from convmodel.metrics.overlap import f1
from convmodel.metrics.words import words
from convmodel.models.conversation_model import ConversationModel
from convmodel.reports.evaluation import Evaluation, EvaluationOptions, evaluate, load_report
from convmodel.reports.evaluation.evaluate import default_output
from convmodel.reports.evaluation.presentation import ARROWS
from tests.reports.evaluation.helpers import OPTIONS, files_of, lines_of, some_conversations
from tests.test_package import ROOT


def test_the_same_model_data_and_seed_give_the_same_bytes(folder: Path, evaluated: Evaluation, tmp_path: Path) -> None:
    evaluated.save(tmp_path / "one")
    again = evaluate(folder / "model", folder / "talks.jsonl", options=OPTIONS, device="cpu")
    again.save(tmp_path / "two")
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    assert set(one) == {"report.json", "report.html", "replies.jsonl", "likelihoods.jsonl"}
    assert one == two


def test_another_seed_says_something_else_but_is_as_perplexed(folder: Path, evaluated: Evaluation) -> None:
    other = evaluate(folder / "model", folder / "talks.jsonl", options=replace(OPTIONS, seed=1), device="cpu")
    said = [[line.reply for line in one.lines["replies.jsonl"]] for one in (evaluated, other)]
    assert said[0] != said[1]
    assert other.report["perplexity"].value == evaluated.report["perplexity"].value


def test_the_numbers_are_those_of_the_saved_replies(evaluated: Evaluation, tmp_path: Path) -> None:
    evaluated.save(tmp_path / "report")
    lines = lines_of(tmp_path / "report" / "replies.jsonl")
    replies, golds = [str(line["reply"]) for line in lines], [str(line["gold"]) for line in lines]
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
    nats, tokens = sum(sum(one.nats) for one in read), sum(sum(one.tokens) for one in read)
    assert evaluated.report["perplexity"].value == pytest.approx(math.exp(nats / tokens))
    for reply in evaluated.lines["replies.jsonl"]:
        assert reply.gold_log_likelihood == -read[reply.conversation - 1].nats[reply.turn - 1]


def test_greedy_replies_are_those_of_the_model(folder: Path) -> None:
    decoding: dict[str, Any] = {"do_sample": False, "max_new_tokens": 5}
    options = EvaluationOptions(turns="all", limit=4, decoding=decoding, resamples=20, perplexity_on="last")
    found = evaluate(folder / "model", folder / "talks.jsonl", options=options, device="cpu")
    model = ConversationModel.from_pretrained(folder / "model", "cpu", "float32")
    lines = found.lines["replies.jsonl"]
    assert Counter(line.conversation for line in lines).keys() == {1, 4, 8, 11}
    for line in lines:
        assert model.generate(line.context, persona=line.persona, **decoding).responses == [line.reply]
    last = {line.conversation: line.turn for line in lines}
    assert all((line.gold_tokens is None) == (line.turn < last[line.conversation]) for line in lines)


def test_a_reply_is_the_one_that_its_seed_gives_alone(folder: Path, evaluated: Evaluation) -> None:
    model = ConversationModel.from_pretrained(folder / "model", "cpu", "float32")
    for line in evaluated.lines["replies.jsonl"]:
        alone = model.generate(line.context, persona=line.persona, seed=line.seed, max_new_tokens=6)
        assert alone.responses == [line.reply]


def test_of_several_replies_the_likeliest_is_measured(folder: Path) -> None:
    decoding: dict[str, Any] = {"num_return_sequences": 3, "max_new_tokens": 4}
    options = replace(OPTIONS, limit=3, decoding=decoding)
    found = evaluate(folder / "model", folder / "talks.jsonl", options=options, device="cpu")
    model = ConversationModel.from_pretrained(folder / "model", "cpu", "float32")
    for line in found.lines["replies.jsonl"]:
        several = model.generate(line.context, persona=line.persona, seed=line.seed, scorer="likelihood", **decoding)
        assert line.reply == several.responses[0]


def test_decoding_is_recorded_as_it_was(evaluated: Evaluation) -> None:
    decoding = evaluated.report.used["decoding"]
    assert decoding["max_new_tokens"] == 6
    assert decoding["do_sample"] is True and decoding["temperature"] == 0.7  # the model's own
    assert evaluated.report.options["decoding"] == {"max_new_tokens": 6}
    assert evaluated.report.evaluation_options() == replace(OPTIONS, limit=500)


def test_only_a_report_is_replaced(evaluated: Evaluation, tmp_path: Path) -> None:
    for _ in range(2):
        evaluated.save(tmp_path / "report")
    (tmp_path / "report" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds 'thesis.txt', which saving a report here would remove"):
        evaluated.save(tmp_path / "report")
    assert (tmp_path / "report" / "thesis.txt").read_text() == "years of work"


def test_reports_of_other_models_and_options_go_elsewhere(evaluated: Evaluation, uniform: Evaluation) -> None:
    changed = replace(evaluated.report, options=dict(evaluated.report.options) | {"seed": 1})
    places = [default_output(report) for report in (evaluated.report, uniform.report, changed)]
    assert len(set(places)) == 3
    assert places[0] == default_output(evaluated.report)
    assert places[0].parent == Path("evaluation") and places[0].name.startswith("model-talks-")


def test_a_japanese_file_is_told_to_be_cut_into_characters(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ja.jsonl").write_text('["こんにちは", "こんにちは、元気ですか？"]\n' * 2, encoding="utf-8")
    for tokenize, notes in (("13a", 1), ("char", 0)):
        options = replace(OPTIONS, bleu_tokenize=tokenize, resamples=5)
        found = evaluate(folder / "model", tmp_path / "ja.jsonl", options=options, device="cpu")
        assert len(found.report.notes) == notes
        assert f"tok:{tokenize}" in found.report.signatures["bleu"]


def test_the_docs_explain_every_number(evaluated: Evaluation) -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for metric in evaluated.report.metrics:
        assert f"`{metric.name}`" in text
    arrows = {
        name: arrow for names, arrow in re.findall(r"^\| (.*) ([↑↓≈]) \|", text, re.M) for name in names.split(", ")
    }
    assert arrows.items() >= {f"`{metric.name}`": ARROWS[metric.better] for metric in evaluated.report.metrics}.items()
