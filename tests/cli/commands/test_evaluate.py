"""The command `evaluate`: what it prints and writes for each kind of model, and its errors."""

import json
import os
import sys
from functools import partial
from pathlib import Path

import pytest

import convmodel
import convmodel.metrics.bleu
import convmodel.reports
from convmodel.__main__ import main
from convmodel.cli.commands.evaluate import TURNS, parse_decoding
from convmodel.errors import install_command
from convmodel.generation.options import PRESETS
from convmodel.reports.evaluation import Evaluation
from convmodel.tokens.turn_windows import target_turns
from tests.reports.evaluation.helpers import pool_lines, save_document_models, save_models, write_lines
from tests.reports.evaluation.selectors import small_selector

SELECTOR_QUICK = ["--resamples", "20", "--device", "cpu"]
QUICK = [*SELECTOR_QUICK, "--limit", "3", "--set", "max_new_tokens=4"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two models that write, two selectors `one` and `two`, and data."""
    path = tmp_path_factory.mktemp("command")
    save_models(path)
    small_selector().save_pretrained(path / "one")
    small_selector(seed=1).save_pretrained(path / "two")
    write_lines(path / "given.jsonl", pool_lines([100] * 6))
    write_lines(path / "plain.jsonl", [[f"Hello {n}", f"Hi {n}"] for n in range(30)])
    return path


@pytest.fixture
def here(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with links to the models and the data."""
    for path in saved.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    return tmp_path


def test_the_command_writes_a_report_and_prints_its_path(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


@pytest.mark.slow
def test_a_comparison_of_two_models_fits_80_columns(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    ("arguments", "message"),
    [
        (["--model", "./nowhere"], "./nowhere: no such folder here"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["--data", "alone.jsonl"], "alone.jsonl:1: there is only one turn"),
        (["--set", "topp=1"], "there is no option 'topp'; did you mean top_p"),
        (["--set", "top_p=1.5"], "top_p=1.5; allowed are"),
        (["--preset", "wild"], "there is no preset 'wild'; allowed are"),
        (["--set", "temperature=0.0"], "temperature"),
        (["--set", "max_new_tokens=63"], "allowed are 1 to 61"),
        (["--bleu-tokenize", "spm"], "bleu_tokenize='spm'; allowed are 13a"),
        (["--compare", "nowhere"], "nowhere: no such report"),
        (["--output", "."], "which saving a report here would remove"),
        (["--limit", "-3"], "limit=-3; it must be at least 0"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (here / "alone.jsonl").write_text('["alone"]\n')
    before = sorted(os.listdir(here))
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--model", "model", "--data", "talks.jsonl", *QUICK, *arguments])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert sorted(os.listdir(here)) == before


@pytest.mark.slow
def test_the_report_is_saved_even_if_the_comparison_fails(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "others.jsonl").write_text('["Hello", "Hi"]\n["How are you?", "Fine"]\n')
    arguments = ["evaluate", "--model", "model", *QUICK]
    assert main([*arguments, "--data", "others.jsonl", "--output", "others"]) == 0
    with pytest.raises(SystemExit):
        main([*arguments, "--data", "talks.jsonl", "--output", "measured", "--compare", "others"])
    assert "error: others: the other report is of other examples" in capsys.readouterr().err
    assert len(Evaluation.load(here / "measured").lines["replies.jsonl"]) == 3


def test_the_turns_of_the_help_are_those_of_the_layout() -> None:
    for turns in TURNS:
        assert target_turns(turns, 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"allowed are {', '.join(TURNS)}"):
        target_turns("none", 4)  # type: ignore[arg-type]


def test_missing_libraries_are_reported_with_the_install_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for missing in ("matplotlib", "sacrebleu"):
        with monkeypatch.context() as patch:
            patch.setattr(convmodel, "reports", convmodel.reports)  # importing it anew sets it
            patch.setattr(convmodel.metrics, "bleu", convmodel.metrics.bleu)
            for name in [name for name in sys.modules if name.startswith(("convmodel.reports", "convmodel.metrics.b"))]:
                patch.delitem(sys.modules, name)
            patch.setitem(sys.modules, missing, None)
            assert main(["evaluate", "--model", "m", "--data", "d"]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == f"error: evaluation needs {missing}; {install_command('evaluate')}\n"


# Selectors


@pytest.mark.slow
def test_a_selector_is_recognised_evaluated_and_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = ["--data", "given.jsonl", *SELECTOR_QUICK]
    assert main(["evaluate", "--model", "one", *both, "--output", "reports/one"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "--model", "two", *both, "--compare", "reports/one"]) == 0
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
    assert [row["name"] for row in saved["differences"]] == names
    page = (report / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 5 and "The gold reply found most clearly" in page


def test_a_note_says_that_the_file_has_no_candidates(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "one", "--data", "plain.jsonl", "--pool", "5", *SELECTOR_QUICK]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "30 replies chosen among 5 candidates in 30 conversations." in out
    assert "note: The file gives no candidates: each reply is ranked among 4 replies of other conversations" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "top_p=0.9"], "the options of decoding, {'top_p': 0.9}, have no effect on a model for choosing"),
        (["--preset", "careful"], "the options of decoding, "),
        (["--perplexity-on", "last"], "perplexity_on='last' has no effect on a model for choosing"),
        (["--pool", "9"], "given.jsonl: pool=9 has no effect, because the file has its own candidates"),
        (["--pool", "1"], "pool=1; it must be at least 2"),
        (["--turns", "all"], "given.jsonl: turns=all has no effect, because the file"),
        (["--model", "model", "--pool", "9"], "pool=9 has no effect on a model for writing"),
        (["--data", "broken.jsonl"], "broken.jsonl:2: response 1 is empty"),
        (["--data", "alone.jsonl"], "alone.jsonl: there are no candidates in it, and no other conversations"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["--model", "./nowhere"], "./nowhere: no such folder"),
        (["--model", "empty"], "empty: holds no config.json, so it is not a model folder"),
        (["--model", "nobody/nothing"], "nobody/nothing: "),
    ],
)
def test_an_error_with_a_selector_is_one_line_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (here / "empty").mkdir()
    lines = [{"context": ["a"], "response": text, "distractors": ["b"]} for text in ("c", "")]
    write_lines(here / "broken.jsonl", lines)
    write_lines(here / "alone.jsonl", [["Hello", "Hi"]])
    before = sorted(os.listdir(here))
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--model", "one", "--data", "given.jsonl", *SELECTOR_QUICK, *arguments])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert sorted(os.listdir(here)) == before


# Documents


@pytest.mark.slow
def test_documents_are_reported_in_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_document_models(tmp_path)
    monkeypatch.chdir(tmp_path)
    arguments = ["evaluate", "--model", "plain", "--data", "documents.jsonl", "--as", "documents", "--resamples", "20"]
    arguments += ["--device", "cpu", "--set", "max_new_tokens=6", "--prompt-words", "4"]
    assert main([*arguments, "--output", "one"]) == 0
    assert main([*arguments, "--output", "two", "--preset", "lively", "--no-meta", "--compare", "one"]) == 0
    out = capsys.readouterr().out
    assert "seq_rep_4 ≈" in out and "…" not in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("report:")) <= 80
    report = json.loads((tmp_path / "two" / "report.json").read_text())
    assert report["used"]["decoding"]["min_p"] == 0.02 and report["options"]["meta"] is False
    page = (tmp_path / "two" / "report.html").read_text()
    assert "Repeats itself least" in page and "<script" not in page


# Decoding options

decoding = partial(parse_decoding, presets=PRESETS)


def test_option_values_are_numbers_booleans_lists_or_strings() -> None:
    arguments = ["top_p=0.9", "do_sample=false", "num_beams=4", 'stop_strings=["."]', "top_k=None", "temperature=1e-1"]
    assert decoding(arguments) == {
        **{"top_p": 0.9, "do_sample": False, "num_beams": 4},
        **{"stop_strings": ["."], "top_k": None, "temperature": 0.1},
    }
    assert decoding(["do_sample=True", "cache_implementation=static"]) == {
        "do_sample": True,
        "cache_implementation": "static",
    }
    assert decoding([]) == {}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("top_p", "--set top_p: write NAME=VALUE, such as top_p=0.9"),
        ("topp=0.9", "there is no option 'topp'; did you mean top_p"),
        ("top_p=1.5", "top_p=1.5; allowed are numbers above 0 and at most 1"),
        ("top_p=much", "top_p='much'; allowed are numbers"),
    ],
)
def test_invalid_options_are_rejected(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decoding([word])


def test_options_override_those_of_a_preset() -> None:
    assert decoding([], preset="careful") == PRESETS["careful"]
    assert decoding(["top_p=0.5"], preset="lively") == PRESETS["lively"] | {"top_p": 0.5}
    with pytest.raises(ValueError, match="there is no preset 'wild'; allowed are balanced, careful, lively"):
        decoding([], preset="wild")
