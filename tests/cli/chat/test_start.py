"""The screen and the conversation that a chat starts with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convmodel.cli.chat.start import open_screen
from convmodel.errors import install_command
from tests.cli.chat.helpers import PROGRAM, environment, piped

ROOT = Path(__file__).parents[3]


def test_a_broken_pipe_ends_silently() -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--quiet"],
        stdin=subprocess.PIPE,
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    os.close(writing)
    os.close(reading)
    _, errors = process.communicate(b"Hello\n" * 3, timeout=60)
    assert (process.returncode, errors) == (0, b"")


def test_a_conversation_goes_on_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "talks.jsonl").write_text('["a", "b"]\n["c", "d", "e", "f"]\n')
    done = piped(b"Hello\n", "--quiet", f"{tmp_path / 'talks.jsonl'}:2")
    assert done.stdout.decode().startswith("5 3 Hello")
    done = piped(b"Hello\n", "--quiet", str(tmp_path / "talks.jsonl"))
    assert done.returncode == 2 and b"it has several conversations" in done.stderr


def test_a_chat_on_a_terminal_without_its_libraries_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    monkeypatch.delitem(sys.modules, "convmodel.cli.chat.terminal", raising=False)
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True, raising=False)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, name), "reconfigure", lambda errors: None, raising=False)
    with pytest.raises(SystemExit) as end:
        open_screen()
    assert end.value.code == 2
    assert capsys.readouterr().err == (f"error: a chat on a terminal needs prompt_toolkit; {install_command('chat')}\n")
