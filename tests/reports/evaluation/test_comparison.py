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
    said = [
        replace(one, gold=gold, reply=constant or gold) for one, gold in zip(lines["replies.jsonl"], golds, strict=True)
    ]
    return {**lines, "replies.jsonl": said}


def verdicts(found: Comparison) -> dict[str, str]:
    return {one.name: one.verdict for one in found.differences}


def test_a_model_is_no_better_than_itself(evaluated: Evaluation, tmp_path: Path) -> None:
    evaluated.save(tmp_path / "report")
    found = evaluated.compared_with(tmp_path / "report").comparison
    assert found is not None
    assert set(verdicts(found).values()) == {"no difference found"}
    assert all(one.p == 1.0 and one.difference == one.low == one.high == 0.0 for one in found.differences)


def test_a_far_better_model_is_found_better(evaluated: Evaluation) -> None:
    perfect, dull = with_replies(evaluated.lines), with_replies(evaluated.lines, "I do not know you.")
    found = verdicts(compare(ReplyGeneration(), perfect, dull, other_model={}, options=OPTIONS))
    for name in ("bleu", "chrf", "f1", "rouge_l", "distinct_1", "distinct_2", "entropy_1", "said_again"):
        assert found[name] == "better", name
    assert found["perplexity"] == found["repetition"] == "no difference found"
    other = verdicts(compare(ReplyGeneration(), dull, perfect, other_model={}, options=OPTIONS))
    assert other["bleu"] == other["said_again"] == "worse"


def test_what_is_as_far_from_gold_on_the_other_side_is_neither_better_nor_worse(evaluated: Evaluation) -> None:
    short, same, long = (with_replies(evaluated.lines, "word " * count) for count in (5, 10, 15))
    assert verdicts(compare(ReplyGeneration(), short, long, other_model={}, options=OPTIONS))["length"] == "lower"
    assert verdicts(compare(ReplyGeneration(), long, short, other_model={}, options=OPTIONS))["length"] == "higher"
    assert verdicts(compare(ReplyGeneration(), same, long, other_model={}, options=OPTIONS))["length"] == "better"
    assert verdicts(compare(ReplyGeneration(), short, same, other_model={}, options=OPTIONS))["length"] == "worse"


def test_more_variety_than_people_have_is_no_merit(evaluated: Evaluation) -> None:
    people = with_replies(evaluated.lines)
    noise = [
        replace(one, reply=" ".join(f"w{n}x{place}" for place in range(10)))
        for n, one in enumerate(people["replies.jsonl"])
    ]
    found = verdicts(
        compare(ReplyGeneration(), {**people, "replies.jsonl": noise}, people, other_model={}, options=OPTIONS)
    )
    assert found["distinct_1"] == found["entropy_1"] == "worse"


def test_a_model_that_knows_nothing_is_found_less_perplexed_than_one_that_is_wrong(
    evaluated: Evaluation, uniform: Evaluation, tmp_path: Path
) -> None:
    evaluated.save(tmp_path / "model")
    compared = uniform.compared_with(tmp_path / "model" / "report.json")
    found = {one.name: one for one in compared.comparison.differences} if compared.comparison else {}
    for name in ("perplexity", "perplexity_per_word", "bits_per_character"):
        one = found[name]
        assert one.verdict == "better" and one.difference is not None and one.high is not None
        assert one.value == uniform.report[name].value and one.other == evaluated.report[name].value
        assert one.difference < one.high < 0
    compared.save(tmp_path / "uniform")
    saved = json.loads((tmp_path / "uniform" / "comparison.json").read_text())
    assert saved["other"]["fingerprint"] == evaluated.report.model["fingerprint"] and len(saved["differences"]) == 15
    assert "Compared with " in (tmp_path / "uniform" / "report.html").read_text()


def test_perplexity_per_token_is_not_compared_across_vocabularies(
    folder: Path, evaluated: Evaluation, tmp_path: Path
) -> None:
    small_model(scale=0.0, vocab_size=259).save_pretrained(tmp_path / "other")
    other = evaluate(tmp_path / "other", folder / "talks.jsonl", options=OPTIONS, device="cpu")
    found = {
        one.name: one
        for one in compare(ReplyGeneration(), other.lines, evaluated.lines, other_model={}, options=OPTIONS).differences
    }
    assert (found["perplexity"].verdict, found["perplexity"].p) == ("not comparable", None)
    assert found["perplexity_per_word"].verdict == found["bits_per_character"].verdict == "better"


def test_examples_that_are_not_the_same_are_refused(folder: Path, evaluated: Evaluation, tmp_path: Path) -> None:
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


def test_too_few_resamples_to_find_anything_are_made_more(evaluated: Evaluation) -> None:
    found = compare(
        ReplyGeneration(), evaluated.lines, evaluated.lines, other_model={}, options=replace(OPTIONS, resamples=1)
    )
    metrics = len(found.differences)
    assert metrics * 2 / (found.resamples + 1) < 0.05
