"""stdin, stdout and a Responder in, a chat on the screen that fits them out."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from convmodel.cli.chat import files as keeping
from convmodel.cli.chat.loop import Screen, talk
from convmodel.cli.chat.outcome import Outcome
from convmodel.cli.chat.plain import PipeScreen, PlainScreen
from convmodel.cli.chat.slash import last_turns, loaded
from convmodel.cli.chat.state import Chat
from convmodel.errors import require_extra
from convmodel.responders.protocol import Responder

MakeScreen = Callable[[Chat], Screen]


def open_screen(*, quiet: bool = False) -> MakeScreen:
    """What fits the two ends: a pipe, a terminal that only writes, or one that can do more.

    Ends the program when a library is missing.

    Raises:
        ValueError: when there is nothing to read from.
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

        if _only_writes():
            return lambda chat: PlainScreen(
                sys.stdin.buffer, out=sys.stdout, notes=sys.stdout, wrapper=Wrapper, quiet=quiet
            )
        from convmodel.cli.chat.terminal import TerminalScreen, kept_history

    def terminal(chat: Chat) -> Screen:
        history, problem = kept_history()
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
    persona: Iterable[str] = (),
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    load: str | None = None,
    note: str | None = None,
) -> int:
    """Talks until the person leaves, the lines end, or nobody reads the replies any more.

    Args:
        title: what is said to be replying.
        load: a conversation to go on with: a file, or `file:number`. A persona that is given replaces its own.
        persona, preset, options, seed: see `Chat`.
        note: a line to show at the beginning.

    Returns:
        The exit status.

    Raises:
        ValueError, OSError: for settings or a file that cannot be followed, and for lines of a pipe.
    """
    chat = Chat(responder, persona=persona, preset=preset, options=options, seed=seed)
    if load:
        name, colon, number = load.rpartition(":")
        numbered = bool(colon) and number.isdecimal()
        chat.load(keeping.load(name if numbered else load, int(number) if numbered else None))
        if tuple(persona):
            chat.set_persona(persona)
    try:
        screen = make_screen(chat)
        screen.greet(f"{title} · /help lists the commands, Ctrl-D leaves")
        if note:
            screen.greet(note)
        if load:
            screen.show(Outcome(loaded(chat), shown=last_turns(chat)))
        talk(chat, screen)
    except BrokenPipeError:
        # Nobody reads any more. What Python still flushes at its end must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _only_writes() -> bool:
    """Whether the terminal understands no control sequences, as far as is known."""
    return sys.platform != "win32" and os.environ.get("TERM", "").lower() in ("", "dumb", "unknown")
