"""The terminal screen, with keys that are sent and a console that is read."""

import io
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from convmodel.cli.chat.loop import talk
from convmodel.cli.chat.state import Chat
from convmodel.cli.chat.terminal import TerminalScreen, open_history
from tests.cli.chat.test_loop import interrupt_when
from tests.fakes import FakeResponder

UP, DOWN, ALT_ENTER, CTRL_C, CTRL_D, TAB = "\x1b[A", "\x1b[B", "\x1b\r", "\x03", "\x04", "\t"


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe:
        yield pipe


def screen_of(
    keys: PipeInput, chat: Chat, *, columns: int = 80, history: InMemoryHistory | None = None, color: bool = False
) -> tuple[TerminalScreen, io.StringIO]:
    seen = io.StringIO()
    console = Console(file=seen, width=columns, force_terminal=color, highlight=False, markup=False, emoji=False)
    return TerminalScreen(chat, history=history, console=console, input=keys, output=DummyOutput()), seen


def read(keys: PipeInput, typed: str) -> list[str | None]:
    """What the screen takes for lines when keys are pressed, up to Ctrl-D."""
    screen, _ = screen_of(keys, Chat(FakeResponder()))
    keys.send_text(typed + CTRL_D)
    lines: list[str | None] = []
    while not lines or lines[-1] is not None:
        lines.append(screen.read())
    return lines[:-1]


def slowly(keys: PipeInput, *parts: str) -> None:
    """Presses keys in parts, between which prompt_toolkit has the time to look things up."""

    def press() -> None:
        for part in parts:
            time.sleep(0.1)
            keys.send_text(part)

    threading.Thread(target=press).start()


def test_enter_sends(keys: PipeInput) -> None:
    assert read(keys, "Hello\rYou\r") == ["Hello", "You"]


def test_alt_enter_and_a_backslash_begin_a_new_line(keys: PipeInput) -> None:
    assert read(keys, f"one{ALT_ENTER}two\\\rthree\r") == ["one\ntwo\nthree"]


def test_pasted_lines_are_one_turn(keys: PipeInput) -> None:
    assert read(keys, "\x1b[200~one\r\ntwo\nthree\x1b[201~\r") == ["one\ntwo\nthree"]


def test_the_arrows_walk_the_history(keys: PipeInput) -> None:
    screen, _ = screen_of(keys, Chat(FakeResponder()), history=InMemoryHistory(["an old one"]))
    slowly(keys, "new\r", f"{UP}\r", f"{UP}{UP}\r", f"{UP}{UP}{UP}{DOWN}\r")
    assert [screen.read() for _ in range(4)] == ["new", "new", "an old one", "new"]


def test_the_tab_key_completes_and_goes_on_to_the_next(keys: PipeInput) -> None:
    assert read(keys, f"/res{TAB}\r/pre{TAB} bo{TAB}\r/w{TAB} {TAB}2\r") == ["/reset", "/preset bold", "/why 2"]
    screen, _ = screen_of(keys, Chat(FakeResponder()))
    offered: list[str] = []

    def look(_: object) -> None:
        shown = screen._toolbar()
        if shown is not None and shown[0][1] not in offered:
            offered.append(shown[0][1])

    screen._session.app.after_render += look
    slowly(keys, f"/s{TAB}", TAB, TAB, "\r")
    assert screen.read() == "/seed"
    assert offered == ["/set  /seed  /save", "/seed  /save  /set"]


def test_ctrl_c_drops_what_is_typed_and_at_an_empty_prompt_says_how_to_leave(keys: PipeInput) -> None:
    screen, seen = screen_of(keys, Chat(FakeResponder()))
    keys.send_text(f"forget this{CTRL_C}Hello\r")
    assert screen.read() == "Hello"
    assert seen.getvalue() == ""
    keys.send_text(f"{CTRL_C}You\r")
    assert screen.read() == "You"
    assert seen.getvalue() == "(Ctrl-D or /quit leaves)\n"


def test_a_talk_is_seen_with_its_commands_and_errors(keys: PipeInput) -> None:
    chat = Chat(FakeResponder(lambda _, seed, __: f"reply {seed}"), seed=5)
    screen, seen = screen_of(keys, chat)
    keys.send_text("Hello\r/retry\r/set temperature 0.5\r/oops\r/undo\r/quit\r")
    screen.greet("model")
    talk(chat, screen)
    assert seen.getvalue() == (
        "model\n\n"
        "reply 5\n\n"
        "reply 6\n\nmade with seed 6\n\n"
        "temperature = 0.5\n\n"
        "there is no command /oops; /help lists them, and //oops says /oops\n\n"
        "> Hello\nreply 6\ntaken back; no turns are left\n\n"
    )


def test_no_control_character_and_no_markup_of_a_text_acts(keys: PipeInput, tmp_path: Path) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x9b31m\r[red]x[/red] :smile:"
    (tmp_path / "evil.jsonl").write_text(f'{{"turns": ["a", {evil!r}], "persona": []}}\n'.replace("'", '"'))
    chat = Chat(FakeResponder(lambda *_: evil), persona=[evil])
    screen, seen = screen_of(keys, chat, color=True)
    keys.send_text("Hello\r/why\r/persona\r/undo\r/oops\x1b\x1b[31m\r/help [red]\r")
    keys.send_text(CTRL_D)
    screen.greet(evil)
    talk(chat, screen)
    left = re.sub(r"\x1b\[[0-9;]*m", "", seen.getvalue())  # what rich itself writes: styles
    assert "\x1b" not in left and "\x07" not in left and "\x9b" not in left and "\r" not in left
    assert "\x1b[31m[" not in seen.getvalue()
    assert left.count("[red]x[/red] :smile:") >= 4 and "␛]0;title␇␛[2J" in left


def test_replies_are_wrapped_in_a_window_of_40_columns(keys: PipeInput) -> None:
    text = "これは長い文章です。" * 5 + "and then some words in English 👩‍👩‍👧 follow"
    chat = Chat(FakeResponder(lambda *_: text), seed=1)
    screen, seen = screen_of(keys, chat, columns=40)
    keys.send_text("Hello\r/why\r/help\r/set\r" + CTRL_D)
    talk(chat, screen)
    from wcwidth import width

    assert max(map(width, seen.getvalue().splitlines())) <= 40
    assert "".join(text.split()) in "".join(seen.getvalue().split())


def test_ctrl_c_stops_a_reply_which_is_marked(keys: PipeInput) -> None:
    responder = FakeResponder(lambda *_: "one two three four", hold=2)
    chat = Chat(responder)
    screen, seen = screen_of(keys, chat)
    keys.send_text("Hello\r")
    keys.send_text(CTRL_D)
    thread = interrupt_when(responder.held)
    talk(chat, screen)
    thread.join()
    assert chat.turns == ("Hello", "one two")
    assert seen.getvalue() == "one two\n[stopped]\n\n"


def test_what_is_waited_for_long_is_seen_and_then_gone(keys: PipeInput) -> None:
    screen, seen = screen_of(keys, Chat(FakeResponder()), color=True)
    screen.begin()
    screen.wait()
    assert "..." in seen.getvalue()
    screen.piece("Hello ")
    screen.piece("you")
    assert "\x1b[2K" in seen.getvalue() and "Hello" in seen.getvalue()
    screen.end(None)


def test_the_status_is_below_the_prompt_and_gives_way_to_what_tab_offers(keys: PipeInput) -> None:
    chat = Chat(FakeResponder(lambda *_: "one two"), seed=5)
    screen, _ = screen_of(keys, chat)
    assert screen._toolbar() is None
    keys.send_text("Hello\r")
    keys.send_text(CTRL_D)
    talk(chat, screen)
    shown = screen._toolbar()
    assert shown is not None and shown[0][1] == "4 of 64 tokens · 0 turns dropped · 4 tokens/s · first 20 ms · seed 5"


# The history


def test_what_was_typed_is_kept_in_a_file_of_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    history, problem = open_history()
    assert problem == ""
    path = tmp_path / "state" / "convmodel" / "chat_history"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
    history.append_string("one\ntwo")
    history.append_string("lone \ud800")
    again, _ = open_history()
    assert list(again.load_history_strings()) == ["lone ?", "one\ntwo"]


def test_a_history_others_could_read_is_closed_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = tmp_path / "convmodel" / "chat_history"
    path.parent.mkdir()
    path.touch(0o644)
    open_history()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_history_that_cannot_be_kept_is_told_and_the_chat_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "state").write_text("a file")
    history, problem = open_history()
    history.append_string("Hello")
    assert problem.startswith("what you type is not remembered: ") and history.get_strings() == ["Hello"]
