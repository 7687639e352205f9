"""`python -m convmodel evaluate` with a model that chooses, as a person uses it."""

import json
import os
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.reports.evaluation import Evaluation
from tests.reports.evaluation.selectors import small_selector
from tests.reports.evaluation.test_response_selection import given, write

QUICK = ["--resamples", "20", "--device", "cpu"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("command")
    small_selector().save_pretrained(place / "one")
    small_selector(seed=1).save_pretrained(place / "two")
    write(place / "given.jsonl", given([100] * 6))
    write(place / "talks.jsonl", [[f"Hello {n}", f"Hi {n}"] for n in range(30)])
    return place


@pytest.fixture
def here(made: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with links to the models and the data."""
    for path in (*made.iterdir(), folder / "model"):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    return tmp_path


def test_a_selector_is_recognised_measured_and_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "one", "--data", "given.jsonl", "--output", "reports/one", *QUICK]) == 0
    capsys.readouterr()
    given = ["--data", "given.jsonl", "--compare", "reports/one", *QUICK]
    assert main(["evaluate", "--model", "two", *given]) == 0
    out = capsys.readouterr().out
    [report] = (here / "evaluation").iterdir()
    assert f"report: evaluation/{report.name}/report.html" in out
    assert sorted(path.name for path in report.iterdir()) == [
        *("choices.jsonl", "comparison.json", "report.html", "report.json")
    ]
    assert "\x1b" not in out and max(map(len, out.splitlines()[:-1])) <= 80 and "…" not in out
    names = [metric.name for metric in Evaluation.load(report).report.metrics]
    assert names == [
        *("R_100@1", "R_100@2", "R_100@5", "mrr/100", "R_10@1", "R_10@2", "R_10@5", "mrr/10", "gold_score")
    ]
    assert all(f" {name} " in out for name in names) and "gold replies" not in out.split("Compared")[0]
    assert "Compared with one (reports/one)" in out
    saved = json.loads((report / "comparison.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in saved["differences"]] == names
    page = (report / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4 and "The gold reply found most clearly" in page


def test_plain_conversations_are_told_to_have_no_candidates(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "one", "--data", "talks.jsonl", "--pool", "5", *QUICK]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "30 replies chosen among 5 candidates in 30 conversations." in out
    assert "note: The file gives no candidates: each reply stands among 4 replies of other conversations" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--option", "top_p=0.9"], "the options of decoding, {'top_p': 0.9}, mean nothing for a model for choosing"),
        (["--preset", "careful"], "the options of decoding, "),
        (["--perplexity_on", "last"], "perplexity_on='last' means nothing for a model for choosing"),
        (["--pool", "9"], "given.jsonl: pool=9 means nothing here, as the file says which replies stand among"),
        (["--pool", "1"], "pool=1; it must be at least 2"),
        (["--turns", "all"], "given.jsonl: turns=all means nothing here"),
        (["--model", "model", "--pool", "9"], "pool=9 means nothing for a model for writing"),
        (["--data", "broken.jsonl"], "broken.jsonl:2: response 1 is empty"),
        (["--data", "alone.jsonl"], "alone.jsonl: there are no candidates in it, and no other conversations"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["--model", "./nowhere"], "./nowhere: no such folder"),
        (["--model", "empty"], "empty: holds no config.json, so it is no model folder"),
        (["--model", "nobody/nothing"], "nobody/nothing: "),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    (here / "empty").mkdir()
    lines = [{"context": ["a"], "response": text, "distractors": ["b"]} for text in ("c", "")]
    write(here / "broken.jsonl", lines)
    write(here / "alone.jsonl", [["Hello", "Hi"]])
    before = sorted(os.listdir(here))
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--model", "one", "--data", "given.jsonl", *QUICK, *arguments])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert told in err and err.startswith("error: ") and err.count("\n") == 1
    assert sorted(os.listdir(here)) == before
