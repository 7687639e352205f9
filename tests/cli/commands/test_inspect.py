"""The command `inspect`: its output, its exit status and its errors."""

import re
import sys
from pathlib import Path

import pytest

from convmodel.__main__ import main
from convmodel.errors import install_command
from tests.conftest import MakeModel
from tests.reports.inspection.helpers import write_lines
from tests.test_package import ROOT


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # however long the paths are, no line is broken


def test_counts_are_printed_and_nothing_is_remarked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_lines(tmp_path / "data.jsonl", [["Hello", "Hi there"], ["What is new?", "Nothing much", "Oh"]])
    assert main(["inspect", path, "--strict"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^conversations +2$", out, re.MULTILINE) and re.search(r"^turns +5$", out, re.MULTILINE)
    assert "Latin 100%" in out and out.endswith("Nothing to remark.\n")


@pytest.mark.parametrize(("text", "strict", "status"), [("\ufffd", True, 1), ("\ufffd", False, 0), ("&amp;", True, 0)])
def test_strict_fails_for_problems_but_not_for_remarks(
    text: str, strict: bool, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lines(tmp_path / "data.jsonl", [["Hello", "Hi"], ["So", f"and {text} so"]])
    assert main(["inspect", path, *["--strict"] * strict]) == status
    out = capsys.readouterr().out
    assert f"{path}:2 turn 2: and {text} so" in out
    assert ("1 kind of problem, 0 remarks." in out) == (text == "\ufffd")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "error: missing: there is no such file"),
        (["good", "--near", "2"], "error: near=2.0; allowed are 0.5"),
        (["good", "--max-length", "2"], "error: max_length=2; a window needs at least 8"),
        (["good", "./good"], "error: ./good: is given twice"),
        (["empty"], "error: empty: there are no conversations in it"),
        (["good", "--model", "./nowhere"], "error: ./nowhere: no such folder"),
        (["good", "--html", "sub"], "error: sub: is a folder; give the name of a file"),
        (["good", "--fix", "no/out"], "error: no/out: there is no folder "),
        (["good", "sub/good", "--fix", "empty"], "error: empty: is a file, and a folder is to be written"),
        (["good", "sub/good", "--fix", "out"], "error: out/good.jsonl: two files would be written there"),
    ],
)
def test_an_error_is_one_line_and_status_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVMODEL_TRACEBACK", raising=False)
    (tmp_path / "sub").mkdir()
    for name in ("good", "sub/good"):
        (tmp_path / name).write_text('["a", "b"]\n')
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(SystemExit) as end:
        main(["inspect", *arguments])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_model_determines_tokens_and_window(
    make_model: MakeModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_model(n_positions=32)
    model.save_pretrained(tmp_path / "model")
    path = write_lines(tmp_path / "data.jsonl", [["Hello, how are you?", "I am fine. " * 20], ["a", "b"]])
    assert main(["inspect", path, "--model", str(tmp_path / "model")]) == 0
    out = capsys.readouterr().out
    tokens = sum(
        len(model.tokenizer([*turns])["input_ids"]) for turns in (["Hello, how are you?", "I am fine. " * 20], "ab")
    )
    assert re.search(rf"^tokens +{tokens}$", out, re.MULTILINE)
    assert "a window of 32" in out and "turns longer than the window" in out
    assert re.search(r"^longer than 32 +50.0%$", out, re.MULTILINE)


def test_fix_and_strict_can_be_combined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_lines(tmp_path / "data.jsonl", [["a", "b"], ["a", "b"]])
    fixed = str(tmp_path / "fixed.jsonl")
    assert main(["inspect", path, "--strict", "--fix", fixed]) == 1
    assert f"{fixed}: 1 conversation of {path} written\n  1 dropped: repeated" in capsys.readouterr().out
    assert main(["inspect", fixed, "--strict"]) == 0


@pytest.mark.parametrize("library", ["rich", "ftfy", "matplotlib"])
def test_missing_libraries_are_reported_with_the_install_command(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("convmodel.reports.", f"{library}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SystemExit) as end:
        main(["inspect", write_lines(tmp_path / "a", [["a", "b"]]), "--html", "page.html"])
    assert end.value.code == 2
    assert re.fullmatch(
        rf"error: inspect needs {library}[.a-z]*; {re.escape(install_command('inspect'))}\n", capsys.readouterr().err
    )


@pytest.mark.slow
def test_the_documented_commands_run(
    tmp_path: Path, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_model().save_pretrained(tmp_path / "model")
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.jsonl").write_text(f'["Hello", "Hi from {name}"]\n["What?", "Nothing in {name}"]\n')
    [usage] = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "inspect.md").read_text(encoding="utf-8"), re.DOTALL)
    commands = [line.split(" && ")[0].split()[2:] for line in usage.splitlines() if line.startswith("python")]
    assert len(commands) == 5
    for command in commands:
        assert main(command[1:]) == 0
    assert {"report.html", "clean.jsonl", "clean"} <= {path.name for path in tmp_path.iterdir()}
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == ["test.jsonl", "train.jsonl"]


def test_unreadable_lines_are_reported_or_end_the_inspection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('["Hello", "Hi there"]\nnot a line\n["How are you?", "Fine, thanks."]\n', encoding="utf-8")
    assert main(["inspect", str(file)]) == 0
    assert "that cannot be read" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["inspect", str(file), "--on-error", "stop"])
    assert f"{file}:2" in capsys.readouterr().err
