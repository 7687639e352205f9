"""The files of a report; other files are rejected."""

import json
from pathlib import Path

import pytest

from convmodel.reports.evaluation import Evaluation, load_report
from tests.data.test_json_file import POINTER


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", r"report\.json:1: is not JSON \(it begins 'no json'\); evaluate that model again"),
        ("", r"report\.json: is empty; evaluate that model again"),
        (POINTER, r"report\.json: is a pointer of Git LFS"),
        ('{"metrics": []}', "not a report of this version"),
        (json.dumps({"metrics": 3}), "not a report of this version"),
        (json.dumps({"metrics": [3]}), r"not a report of this version of convmodel \(3 is not an object\)"),
        ("[]", r"holds '\[\]', not an object"),
    ],
)
def test_other_files_are_rejected(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_report(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such report"):
        load_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", 3),
        ("notes", "none"),
        ("notes", [1]),
        ("versions", {"torch": 2}),
        ("model", []),
        ("format", "1"),
        ("options", {"unknown": 3}),
    ],
)
def test_a_value_of_the_wrong_type_is_named(evaluated: Evaluation, tmp_path: Path, name: str, value: object) -> None:
    evaluated.save(tmp_path / "report")
    assert load_report(tmp_path / "report")[0] == evaluated.report
    file = tmp_path / "report" / "report.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    named = "unknown" if name == "options" else f"{name} is "
    with pytest.raises(ValueError, match=rf"report\.json: not a report of this version of convmodel \(.*{named}"):
        load_report(file)


def test_a_metric_whose_value_is_a_text_is_refused(evaluated: Evaluation, tmp_path: Path) -> None:
    evaluated.save(tmp_path / "report")
    file = tmp_path / "report" / "report.json"
    saved = json.loads(file.read_text())
    saved["metrics"][0]["value"] = "high"
    file.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=r"report\.json: .* \(value is 'high'\); evaluate that model again"):
        load_report(file)


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
    wrong = json.dumps(json.loads(text.splitlines()[0]) | {"context": "Hello"})
    for damage, message in ((wrong, "context is 'Hello'"), ("3", "'int' object is not iterable"), ("{", "Expecting")):
        replies.write_text(damage + "\n" + text, encoding="utf-8")
        with pytest.raises(ValueError, match=rf"replies.jsonl:1: not a line of a report \({message}"):
            evaluated.compared_with(tmp_path / "report")
    replies.write_bytes(text.encode() + b"\xff\n")
    with pytest.raises(ValueError, match=rf"replies.jsonl:{line}: not a line of a report \('utf-8' codec"):
        evaluated.compared_with(tmp_path / "report")
    replies.write_text(POINTER)
    with pytest.raises(ValueError, match=r"replies.jsonl: is a pointer of Git LFS"):
        evaluated.compared_with(tmp_path / "report")
    replies.unlink()
    with pytest.raises(FileNotFoundError, match="a comparison needs the whole folder"):
        evaluated.compared_with(tmp_path / "report")
