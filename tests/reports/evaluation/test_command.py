"""`python -m convmodel evaluate` as a person uses it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.cli.commands.evaluate import TURNS
from convmodel.reports.evaluation import Evaluation
from convmodel.tokens.conversation_layout import target_turns
from tests.test_package import ROOT

QUICK = ["--resamples", "20", "--limit", "3", "--device", "cpu", "--option", "max_new_tokens=4"]


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with links to the models and the data."""
    for name in ("model", "uniform", "talks.jsonl"):
        (tmp_path / name).symlink_to(folder / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    return tmp_path


def test_the_command_leaves_a_report_and_says_where(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "model", "--data", "talks.jsonl", *QUICK]) == 0
    out = capsys.readouterr().out
    [report] = (here / "evaluation").iterdir()
    assert f"report: evaluation/{report.name}/report.html" in out
    assert sorted(path.name for path in report.iterdir()) == [
        *("likelihoods.jsonl", "replies.jsonl", "report.html", "report.json")
    ]
    assert "\x1b" not in out and max(map(len, out.splitlines()[:-1])) <= 80
    for metric in Evaluation.load(report).report.metrics:
        assert f" {metric.name} " in out
    assert "bleu: nrefs:1|case:mixed|eff:no|tok:13a" in out


def test_two_models_are_compared_in_80_columns(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = ["--data", "talks.jsonl", *QUICK]
    assert main(["evaluate", "--model", "model", *both, "--output", "reports/model"]) == 0
    capsys.readouterr()
    arguments = ["--output", "reports/uniform", "--compare", "reports/model"]
    assert main(["evaluate", "--model", "uniform", *both, *arguments]) == 0
    out = capsys.readouterr().out
    assert "Compared with model (reports/model)" in out
    rows = {line.split()[0]: line for line in out[out.index("Compared") :].splitlines() if line.strip()}
    assert rows["perplexity"].rstrip().endswith(" better") and "…" not in out
    assert max(map(len, out.splitlines()[:-1])) <= 80
    saved = json.loads((here / "reports" / "uniform" / "comparison.json").read_text())
    assert saved["differences"][0]["verdict"] == "better"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "./nowhere"], "./nowhere: no such folder; give the folder of a saved model"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["--data", "alone.jsonl"], "alone.jsonl:1: there is only one turn"),
        (["--option", "topp=1"], "there is no option 'topp'; did you mean top_p"),
        (["--option", "top_p=1.5"], "top_p=1.5; allowed are"),
        (["--preset", "wild"], "there is no preset 'wild'; allowed are"),
        (["--option", "temperature=0.0"], "temperature"),
        (["--option", "max_new_tokens=63"], "allowed are 1 to 61"),
        (["--bleu_tokenize", "spm"], "bleu_tokenize='spm'; allowed are 13a"),
        (["--compare", "nowhere"], "nowhere: no such report"),
        (["--output", "."], "which saving a report here would remove"),
        (["--limit", "-3"], "limit=-3; it must be at least 0"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    (here / "alone.jsonl").write_text('["alone"]\n')
    before = sorted(os.listdir(here))
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--model", "model", "--data", "talks.jsonl", *QUICK, *arguments])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert told in err and err.startswith("error: ") and err.count("\n") == 1
    assert sorted(os.listdir(here)) == before


def test_what_was_measured_is_kept_when_it_cannot_be_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "others.jsonl").write_text('["Hello", "Hi"]\n["How are you?", "Fine"]\n')
    given = ["evaluate", "--model", "model", *QUICK]
    assert main([*given, "--data", "others.jsonl", "--output", "others"]) == 0
    with pytest.raises(SystemExit):
        main([*given, "--data", "talks.jsonl", "--output", "mine", "--compare", "others"])
    assert "error: others: the other report is of other examples" in capsys.readouterr().err
    assert len(Evaluation.load(here / "mine").lines["replies.jsonl"]) == 3


def test_the_turns_of_the_help_are_those_of_the_layout() -> None:
    for turns in TURNS:
        assert target_turns(turns, 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"allowed are {', '.join(TURNS)}"):
        target_turns("none", 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["sacrebleu", "matplotlib"])
def test_without_its_libraries_the_command_says_how_to_get_them(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None; from convmodel.__main__ import main; "
        "sys.exit(main(['evaluate', '--model', 'm', '--data', 'd']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        f'error: evaluation needs {missing}; pip install "convmodel[evaluate]"\n',
    )
