"""An inspection on narrow terminals and in other encodings."""

import pytest

from convmodel.__main__ import main
from tests.reports.inspection.helpers import EVIL, Write
from tests.test_package import run


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


def test_characters_that_the_terminal_cannot_encode_are_escaped(write: Write) -> None:
    path = write("data.jsonl", [["Hello", "元気 \ufffd"], ["a", "b"]])
    program = (
        f"import sys; sys.argv[1:] = ['inspect', {path!r}]; import runpy; sys.stdout.reconfigure(encoding='ascii');"
    )
    done = run("-c", program + "runpy.run_module('convmodel', run_name='__main__')")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u5143\\u6c17 \\ufffd" in done.stdout and "#" in done.stdout
