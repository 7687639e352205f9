"""Which differences are real: none with oneself, all with somebody far worse."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from convmodel.reports.evaluation import Evaluation, evaluate
from convmodel.reports.evaluation.comparison import Comparison, compare
from convmodel.reports.evaluation.reply_generation import ReplyGeneration
from convmodel.reports.evaluation.task import Lines
from tests.reports.evaluation.helpers import OPTIONS, small_model


def with_replies(lines: Lines, constant: str = "") -> Lines:
    """The same where other words were said: the model says just these, or always the same."""
    golds = [f"Well, number {n} is what I like best in {1000 + n}." for n, _ in enumerate(lines["replies.jsonl"])]
    results = zip(lines["replies.jsonl"], golds, strict=True)
    said = [replace(result, gold=gold, reply=constant or gold) for result, gold in results]
    return {**lines, "replies.jsonl": said}


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {row.name: row.verdict for row in comparison.differences}


def test_a_model_does_not_differ_from_itself(evaluated: Evaluation, tmp_path: Path) -> None:
    evaluated.save(tmp_path / "report")
    comparison = evaluated.compared_with(tmp_path / "report").comparison
    assert comparison is not None
    assert set(verdicts(comparison).values()) == {"no difference found"}
    assert all(row.p == 1.0 and row.difference == row.low == row.high == 0.0 for row in comparison.differences)


def test_a_much_better_model_is_better(evaluated: Evaluation) -> None:
    perfect = with_replies(evaluated.lines)
    dull = with_replies(evaluated.lines, "I do not know you.")
    verdict_of = verdicts(compare(ReplyGeneration(), perfect, dull, other_model={}, options=OPTIONS))
    for name in ("bleu", "chrf", "f1", "rouge_l", "distinct_1", "distinct_2", "entropy_1", "said_again"):
        assert verdict_of[name] == "better", name
    assert verdict_of["perplexity"] == verdict_of["repetition"] == "no difference found"
    other = verdicts(compare(ReplyGeneration(), dull, perfect, other_model={}, options=OPTIONS))
    assert other["bleu"] == other["said_again"] == "worse"


def test_equal_distances_from_gold_are_neither_better_nor_worse(evaluated: Evaluation) -> None:
    short, same, long = (with_replies(evaluated.lines, "word " * count) for count in (5, 10, 15))
    assert verdicts(compare(ReplyGeneration(), short, long, other_model={}, options=OPTIONS))["length"] == "lower"
    assert verdicts(compare(ReplyGeneration(), long, short, other_model={}, options=OPTIONS))["length"] == "higher"
    assert verdicts(compare(ReplyGeneration(), same, long, other_model={}, options=OPTIONS))["length"] == "better"
    assert verdicts(compare(ReplyGeneration(), short, same, other_model={}, options=OPTIONS))["length"] == "worse"


def test_more_variety_than_the_gold_replies_is_worse(evaluated: Evaluation) -> None:
    people = with_replies(evaluated.lines)
    noise = [
        replace(result, reply=" ".join(f"w{n}x{index}" for index in range(10)))
        for n, result in enumerate(people["replies.jsonl"])
    ]
    verdict_of = verdicts(
        compare(ReplyGeneration(), {**people, "replies.jsonl": noise}, people, other_model={}, options=OPTIONS)
    )
    assert verdict_of["distinct_1"] == verdict_of["entropy_1"] == "worse"


def test_a_uniform_model_has_a_lower_perplexity_than_a_random_one(
    evaluated: Evaluation, uniform: Evaluation, tmp_path: Path
) -> None:
    evaluated.save(tmp_path / "model")
    compared = uniform.compared_with(tmp_path / "model" / "report.json")
    rows = {row.name: row for row in compared.comparison.differences} if compared.comparison else {}
    for name in ("perplexity", "perplexity_per_word", "bits_per_character"):
        row = rows[name]
        assert row.verdict == "better" and row.difference is not None and row.high is not None
        assert row.value == uniform.report[name].value and row.other == evaluated.report[name].value
        assert row.difference < row.high < 0
    compared.save(tmp_path / "uniform")
    saved = json.loads((tmp_path / "uniform" / "comparison.json").read_text())
    assert saved["other"]["fingerprint"] == evaluated.report.model["fingerprint"] and len(saved["differences"]) == 15
    assert "Compared with " in (tmp_path / "uniform" / "report.html").read_text()


def test_perplexity_per_token_is_not_rowsacross_vocabularies(
    folder: Path, evaluated: Evaluation, tmp_path: Path
) -> None:
    small_model(scale=0.0, vocab_size=259).save_pretrained(tmp_path / "other")
    other = evaluate(tmp_path / "other", folder / "talks.jsonl", options=OPTIONS, device="cpu")
    rows = {
        row.name: row
        for row in compare(ReplyGeneration(), other.lines, evaluated.lines, other_model={}, options=OPTIONS).differences
    }
    assert (rows["perplexity"].verdict, rows["perplexity"].p) == ("not comparable", None)
    assert rows["perplexity_per_word"].verdict == rows["bits_per_character"].verdict == "better"


def test_different_examples_are_rejected(folder: Path, evaluated: Evaluation, tmp_path: Path) -> None:
    fewer = evaluate(folder / "model", folder / "talks.jsonl", options=replace(OPTIONS, limit=5), device="cpu")
    fewer.save(tmp_path / "fewer")
    with pytest.raises(
        ValueError, match=r"fewer: the other report is of other examples \(the first that differs is 2\)"
    ):
        evaluated.compared_with(tmp_path / "fewer")
    last = evaluate(
        folder / "model", folder / "talks.jsonl", options=replace(OPTIONS, perplexity_on="last"), device="cpu"
    )
    last.save(tmp_path / "last")
    with pytest.raises(ValueError, match="of other turns of perplexity"):
        evaluated.compared_with(tmp_path / "last")


def test_resamples_are_raised_where_too_few_for_significance(evaluated: Evaluation) -> None:
    comparison = compare(
        ReplyGeneration(), evaluated.lines, evaluated.lines, other_model={}, options=replace(OPTIONS, resamples=1)
    )
    metrics = len(comparison.differences)
    assert metrics * 2 / (comparison.resamples + 1) < 0.05
