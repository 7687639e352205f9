"""Chats through pipes, and on terminals that only write; real processes where the ends matter."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from convmodel.cli.chat.loop import talk
from convmodel.cli.chat.plain import PipeScreen, PlainScreen
from convmodel.cli.chat.state import Chat
from convmodel.cli.chat.wrapping import Wrapper
from tests.cli.chat.helpers import PROGRAM, environment, piped
from tests.fakes import FakeResponder

ROOT = Path(__file__).parents[3]


def test_in_a_pipe_each_line_is_a_turn_and_each_reply_a_line() -> None:
    done = piped("Hello\r\n\n/persona I like rain.\n/retry\n日本語".encode())
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == [
        "1 3 Hello ␛[31m[bold]日本[/bold]",
        "1 4 Hello ␛[31m[bold]日本[/bold]",
        "3 3 日本語 ␛[31m[bold]日本[/bold]",
    ]
    notes = done.stderr.decode().splitlines()
    assert notes[0].startswith("5 of 64 tokens · 0 turns dropped") or "tokens" in notes[0]
    assert "I like rain." in notes and "made with seed 4" in notes


def test_in_a_quiet_pipe_there_is_nothing_but_replies() -> None:
    done = piped(b"Hello\n/set\n", "--quiet")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.count(b"\n") == 1


@pytest.mark.parametrize(
    ("text", "told", "replies"),
    [
        (b"Hello\n/sett x\nnever\n", "error: stdin:2: there is no command /sett; did you mean /set?", 1),
        (b"Hello\n\nthis is too long\n", "error: stdin:3: the last turn does not fit", 1),
        (b"\xff\n", "error: stdin:1: not UTF-8 (byte 1)", 0),
    ],
)
def test_an_error_in_a_pipe_is_one_line_with_its_place_and_status_2(text: bytes, told: str, replies: int) -> None:
    done = piped(text, "--quiet")
    assert done.returncode == 2
    assert done.stderr.decode().startswith(told) and done.stderr.count(b"\n") == 1
    assert done.stdout.count(b"\n") == replies


def on_a_terminal(keys: bytes, **more: str) -> str:
    """What a terminal shows of a program, in which keys are pressed when the prompt is there, until its end."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(PROMPT_TOOLKIT_NO_CPR="1", **more),
    )
    os.close(slave)
    seen = b""
    while True:
        if keys and b">" in seen:
            os.write(master, keys)
            keys = b""
        try:
            piece = os.read(master, 1024)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    assert process.wait(60) == 0
    os.close(master)
    return seen.decode().replace("\r\n", "\n")


def test_a_dumb_terminal_gets_no_control_sequence() -> None:
    seen = on_a_terminal(b"one\\\ntwo\n/sett\n/quit\n", TERM="dumb")
    assert "\x1b" not in seen
    assert "fake · /help lists the commands, Ctrl-D leaves" in seen
    assert "1 3 one\ntwo\n␛[31m[bold]日本[/bold]\n[" in seen
    assert "error: there is no command /sett" in seen


def test_without_colours_there_are_no_colours_and_a_full_terminal_has_some() -> None:
    plain = on_a_terminal(b"\x04", TERM="xterm-256color", NO_COLOR="1")
    colours = on_a_terminal(b"\x04", TERM="xterm-256color")
    assert "Ctrl-D leaves" in plain and "Ctrl-D leaves" in colours
    assert "\x1b[38" not in plain and "\x1b[31m" not in plain


# The screens themselves


def test_a_person_whose_replies_go_into_a_file_sees_the_prompt_and_not_them() -> None:
    out, notes = io.StringIO(), io.StringIO()
    screen = PlainScreen(io.BytesIO(b"Hello\n"), out=out, notes=notes)
    talk(Chat(FakeResponder(lambda *_: "Good\x07 day"), seed=1), screen)
    assert out.getvalue() == "Good␇ day\n"
    assert notes.getvalue().startswith("> [") and notes.getvalue().endswith("> \n")


def test_replies_and_notes_are_wrapped_where_the_terminal_only_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = io.StringIO()
    text = "これは長い文章です。" * 8 + " and many words" * 8
    screen = PlainScreen(io.BytesIO(b"Hello\n/why\n/help\n"), out=out, notes=out, wrapper=Wrapper, quiet=True)
    talk(Chat(FakeResponder(lambda *_: text), seed=1), screen)
    from wcwidth import width

    assert max(map(width, out.getvalue().splitlines())) <= 39
    assert "/why" in out.getvalue()


def test_ctrl_c_at_the_prompt_says_how_to_leave() -> None:
    class Keys(io.BytesIO):
        presses = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            self.presses += 1
            if self.presses == 2:
                raise KeyboardInterrupt
            return super().readline()

    notes = io.StringIO()
    screen = PlainScreen(Keys(b"forgotten\\\nHello\n"), out=notes, notes=notes)
    assert screen.read() == "Hello"
    assert "(Ctrl-D or /quit leaves)" in notes.getvalue()
    assert screen.read() is None


def test_an_unfinished_turn_at_the_end_is_a_turn() -> None:
    notes = io.StringIO()
    screen = PlainScreen(io.BytesIO(b"one\\\n"), out=notes, notes=notes)
    assert screen.read() == "one\n" or screen.read() is None


def test_a_byte_order_mark_is_no_text() -> None:
    screen = PipeScreen(io.BytesIO(b"\xef\xbb\xbfHello\n"), replies=io.StringIO(), notes=None)
    assert screen.read() == "Hello"
