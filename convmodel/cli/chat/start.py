"""Starting a chat: the screen that fits stdin and stdout, and the conversation to continue."""

import os
import sys
from collections.abc import Callable
from typing import Any

from convmodel.cli.chat.files import load as load_conversation
from convmodel.cli.chat.loop import talk
from convmodel.cli.chat.plain import PipeScreen, PlainScreen
from convmodel.cli.chat.screen import Screen
from convmodel.cli.chat.slash import describe_loaded
from convmodel.cli.chat.state import Chat
from convmodel.cli.standard_streams import discard_stdout
from convmodel.errors import require_extra
from convmodel.responders.protocol import Responder

MakeScreen = Callable[[Chat], Screen]


def open_screen(*, quiet: bool = False) -> MakeScreen:
    """Return a function that creates the screen for stdin and stdout: a pipe, a plain or a full terminal.

    Raises ValueError when stdin is closed, and SystemExit when a library is missing.
    """
    if sys.stdin is None:
        raise ValueError("stdin is closed; type into it, or pipe lines into it")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    if not sys.stdin.isatty():
        notes = None if quiet else sys.stderr
        return lambda chat: PipeScreen(sys.stdin.buffer, replies=sys.stdout, notes=notes)
    if not sys.stdout.isatty():
        return lambda chat: PlainScreen(sys.stdin.buffer, out=sys.stdout, notes=sys.stderr, quiet=quiet)
    with require_extra("chat", ("rich", "prompt_toolkit", "wcwidth"), needing="a chat on a terminal needs"):
        from convmodel.cli.chat.wrapping import Wrapper

        has_no_control_sequences = os.environ.get("TERM", "").lower() in ("", "dumb", "unknown")
        if sys.platform != "win32" and has_no_control_sequences:
            return lambda chat: PlainScreen(
                sys.stdin.buffer, out=sys.stdout, notes=sys.stdout, wrapper=Wrapper, quiet=quiet
            )
        from convmodel.cli.chat.terminal import TerminalScreen, open_history

    def terminal(chat: Chat) -> Screen:
        history, problem = open_history()
        screen = TerminalScreen(chat, history=history, quiet=quiet)
        if problem:
            screen.error(problem)
        return screen

    return terminal


def converse(
    responder: Responder,
    make_screen: MakeScreen,
    *,
    title: str,
    load: str | None = None,
    note: str | None = None,
    **settings: Any,
) -> None:
    """Run a chat until the user leaves, the input ends, or the output is closed.

    Args:
        title: names of the models, for the greeting.
        load: conversation to continue: a file, or `file:number`. A given persona replaces that of the conversation.
        note: a line to show at the start.
        settings: `persona`, `preset`, `options`, `seed`, `read_options` and `speaker` of the `Chat`.

    Raises:
        ValueError, OSError: for invalid settings, an unreadable file, or an invalid line of a pipe.
    """
    chat = Chat(responder, **settings)
    if load:
        name, colon, number = load.rpartition(":")
        has_number = bool(colon) and number.isdecimal()
        index = int(number) if has_number else None
        chat.load(load_conversation(name if has_number else load, index, chat.read_options))
        if settings.get("persona"):
            chat.set_persona(settings["persona"])
    try:
        screen = make_screen(chat)
        screen.greet(f"{title} · /help lists the commands, Ctrl-D leaves")
        if note:
            screen.greet(note)
        if load:
            screen.show(describe_loaded(chat))
        talk(chat, screen)
    except BrokenPipeError:
        discard_stdout()
