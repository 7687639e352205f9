"""Replies of a report equal those that the model generates alone, with the decoding options of the report."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from convmodel.models.conversation_model import ConversationModel
from convmodel.reports.evaluation import Evaluation, EvaluationOptions, evaluate
from tests.reports.evaluation.helpers import OPTIONS


def test_greedy_replies_are_those_of_the_model(folder: Path) -> None:
    decoding: dict[str, Any] = {"do_sample": False, "max_new_tokens": 5}
    options = EvaluationOptions(turns="all", limit=4, decoding=decoding, resamples=20, perplexity_on="last")
    evaluation = evaluate(folder / "model", folder / "talks.jsonl", options=options, device="cpu")
    model = ConversationModel.from_pretrained(folder / "model", "cpu", "float32")
    lines = evaluation.lines["replies.jsonl"]
    assert Counter(line.conversation for line in lines).keys() == {1, 4, 8, 11}
    for line in lines:
        assert model.generate(line.context, persona=line.persona, **decoding).responses == [line.reply]
    last = {line.conversation: line.turn for line in lines}
    assert all((line.gold_tokens is None) == (line.turn < last[line.conversation]) for line in lines)


def test_each_reply_can_be_repeated_alone_with_its_seed(folder: Path, evaluated: Evaluation) -> None:
    model = ConversationModel.from_pretrained(folder / "model", "cpu", "float32")
    for line in evaluated.lines["replies.jsonl"]:
        alone = model.generate(line.context, persona=line.persona, seed=line.seed, max_new_tokens=6)
        assert alone.responses == [line.reply]


def test_of_several_replies_the_likeliest_is_measured(folder: Path) -> None:
    decoding: dict[str, Any] = {"num_return_sequences": 3, "max_new_tokens": 4}
    options = replace(OPTIONS, limit=3, decoding=decoding)
    evaluation = evaluate(folder / "model", folder / "talks.jsonl", options=options, device="cpu")
    model = ConversationModel.from_pretrained(folder / "model", "cpu", "float32")
    for line in evaluation.lines["replies.jsonl"]:
        several = model.generate(line.context, persona=line.persona, seed=line.seed, scorer="likelihood", **decoding)
        assert line.reply == several.responses[0]


def test_the_report_records_the_decoding_options(evaluated: Evaluation) -> None:
    decoding = evaluated.report.used["decoding"]
    assert decoding["max_new_tokens"] == 6
    assert decoding["do_sample"] is True and decoding["temperature"] == 0.7  # the model's own
    assert evaluated.report.options["decoding"] == {"max_new_tokens": 6}
    assert evaluated.report.evaluation_options() == replace(OPTIONS, limit=500)
