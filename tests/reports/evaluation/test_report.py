"""The files of a report; other files are rejected."""

import json
from pathlib import Path

import pytest

from convmodel.reports.evaluation import Evaluation, load_report


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "not a report of this version"),
        ('{"metrics": []}', "not a report of this version"),
        (json.dumps({"metrics": 3}), "not a report of this version"),
        ("[]", "not a report of this version"),
    ],
)
def test_other_files_are_rejected(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_report(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such report"):
        load_report(tmp_path / "nowhere")


def test_an_unknown_metric_is_a_key_error(evaluated: Evaluation) -> None:
    with pytest.raises(KeyError, match="'bleurt'; there are perplexity, "):
        evaluated.report["bleurt"]


def test_reports_with_missing_or_invalid_lines_are_rejected(evaluated: Evaluation, tmp_path: Path) -> None:
    evaluated.save(tmp_path / "report")
    replies = tmp_path / "report" / "replies.jsonl"
    text = replies.read_text(encoding="utf-8")
    replies.write_text(text + '{"reply": 3}\n', encoding="utf-8")
    line = text.count("\n") + 1
    with pytest.raises(ValueError, match=rf"replies.jsonl:{line}: not a line of a report"):
        evaluated.compared_with(tmp_path / "report")
    replies.unlink()
    with pytest.raises(FileNotFoundError, match="a comparison needs the whole folder"):
        evaluated.compared_with(tmp_path / "report")
