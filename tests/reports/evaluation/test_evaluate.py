"""A report from end to end: its numbers, its files, and that it is the same every time."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from convmodel.reports.evaluation import Evaluation, evaluate
from convmodel.reports.evaluation.evaluate import default_output
from convmodel.reports.evaluation.presentation import ARROWS
from tests.reports.evaluation.helpers import OPTIONS, files_of
from tests.test_package import ROOT


def test_the_same_model_data_and_seed_give_the_same_bytes(folder: Path, evaluated: Evaluation, tmp_path: Path) -> None:
    evaluated.save(tmp_path / "first")
    again = evaluate(folder / "model", folder / "talks.jsonl", options=OPTIONS, device="cpu")
    again.save(tmp_path / "second")
    first = files_of(tmp_path / "first")
    assert set(first) == {"report.json", "report.html", "replies.jsonl", "likelihoods.jsonl"}
    assert first == files_of(tmp_path / "second")


def test_another_seed_changes_replies_but_not_perplexity(folder: Path, evaluated: Evaluation) -> None:
    other = evaluate(folder / "model", folder / "talks.jsonl", options=replace(OPTIONS, seed=1), device="cpu")
    replies, other_replies = (
        [line.reply for line in evaluation.lines["replies.jsonl"]] for evaluation in (evaluated, other)
    )
    assert replies != other_replies
    assert other.report["perplexity"].value == evaluated.report["perplexity"].value


def test_saving_replaces_only_a_report(evaluated: Evaluation, tmp_path: Path) -> None:
    for _ in range(2):
        evaluated.save(tmp_path / "report")
    (tmp_path / "report" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds 'thesis.txt', which saving a report here would remove"):
        evaluated.save(tmp_path / "report")
    assert (tmp_path / "report" / "thesis.txt").read_text() == "years of work"


def test_default_folders_depend_on_model_and_options(evaluated: Evaluation, uniform: Evaluation) -> None:
    changed = replace(evaluated.report, options=dict(evaluated.report.options) | {"seed": 1})
    folders = [default_output(report) for report in (evaluated.report, uniform.report, changed)]
    assert len(set(folders)) == 3
    assert folders[0] == default_output(evaluated.report)
    assert folders[0].parent == Path("evaluation") and folders[0].name.startswith("model-talks-")


def test_the_docs_explain_every_number(evaluated: Evaluation) -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for metric in evaluated.report.metrics:
        assert f"`{metric.name}`" in text
    arrows = {
        name: arrow for names, arrow in re.findall(r"^\| (.*) ([↑↓≈]) \|", text, re.M) for name in names.split(", ")
    }
    assert arrows.items() >= {f"`{metric.name}`": ARROWS[metric.better] for metric in evaluated.report.metrics}.items()
