"""The files of a report: what is not a report is refused."""

import json
from pathlib import Path

import pytest

from convmodel.reports.evaluation import Evaluation, load_report


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no json", "not a report of this version"),
        ('{"metrics": []}', "not a report of this version"),
        (json.dumps({"metrics": 3}), "not a report of this version"),
        ("[]", "not a report of this version"),
    ],
)
def test_what_is_no_report_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=told):
        load_report(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such report"):
        load_report(tmp_path / "nowhere")


def test_a_metric_that_is_not_there_is_told(evaluated: Evaluation) -> None:
    with pytest.raises(KeyError, match="'bleurt'; there are perplexity, "):
        evaluated.report["bleurt"]


def test_a_report_whose_lines_are_gone_or_broken_is_refused(evaluated: Evaluation, tmp_path: Path) -> None:
    evaluated.save(tmp_path / "report")
    replies = tmp_path / "report" / "replies.jsonl"
    text = replies.read_text(encoding="utf-8")
    replies.write_text(text + '{"reply": 3}\n', encoding="utf-8")
    number = text.count("\n") + 1
    with pytest.raises(ValueError, match=rf"replies.jsonl:{number}: not a line of a report"):
        evaluated.compared_with(tmp_path / "report")
    replies.unlink()
    with pytest.raises(FileNotFoundError, match="a comparison needs the whole folder"):
        evaluated.compared_with(tmp_path / "report")
