"""An inspection on narrow terminals and in other encodings."""

import io

import pytest

from convmodel.__main__ import main
from tests.reports.inspection.helpers import EVIL, Write


def test_output_to_a_narrow_pipe_is_plain_and_fits(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = [["Hello " * 30, f"caf\ufffd {EVIL} [bold]{n}[/bold]", "日本語の文" * 20] for n in range(4)]
    assert main(["inspect", write("one.jsonl", lines), write("two.jsonl", lines)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "[bold]0[/bold]" in out.replace("\n    ", "")
    assert max(len(line.encode("cp932", "replace")) for line in out.splitlines()) <= 40
    lines_of_scripts = out[out.index("Scripts") :].splitlines()
    assert [line for line in lines_of_scripts if line != line.rstrip()] == []


def test_characters_that_the_terminal_cannot_encode_are_escaped(
    write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("data.jsonl", [["Hello", "元気 \ufffd"], ["a", "b"]])
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", terminal)
    assert (main(["inspect", path]), capsys.readouterr().err) == (0, "")
    terminal.seek(0)
    out = terminal.read()
    assert "\\u5143\\u6c17 \\ufffd" in out and "#" in out
