"""A screen that records, a chat with a fake responder, and programs run through a pipe."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from convmodel.cli.chat.screen import Outcome
from convmodel.cli.chat.state import Chat
from convmodel.responders.protocol import Reply
from tests.fakes import FakeResponder


class Sheet:
    """A screen that notes everything."""

    def __init__(self, *lines: str, interactive: bool = True) -> None:
        self.interactive = interactive
        self._lines = iter(lines)
        self.pieces: list[str] = []
        self.replies: list[Reply | None] = []
        self.outcomes: list[Outcome] = []
        self.errors: list[str] = []
        self.waits = 0

    def greet(self, text: str) -> None:
        raise AssertionError("whoever opens the screen greets")

    def read(self) -> str | None:
        return next(self._lines, None)

    def begin(self) -> None:
        self.pieces = []

    def wait(self) -> None:
        self.waits += 1

    def piece(self, text: str) -> None:
        self.pieces.append(text)

    def end(self, reply: Reply | None) -> None:
        self.replies.append(reply)

    def show(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def error(self, message: str) -> None:
        self.errors.append(message)

    def where(self) -> str:
        return "line 7"


def say_so(context: object, seed: int, options: object) -> str:
    return f"a reply of some words with seed {seed}"


def chat_with(responder: FakeResponder, seed: int | None = 1) -> Chat:
    return Chat(responder, seed=seed)


def interrupt_when(event: threading.Event) -> threading.Thread:
    """Presses Ctrl-C when something has happened."""

    def press() -> None:
        event.wait(5)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


ROOT = Path(__file__).parents[3]

PROGRAM = """\
import sys
from convmodel.cli.chat.start import converse, open_screen
from convmodel.errors import report_errors
from tests.fakes import FakeResponder

def write(context, seed, options):
    return f"{len(context)} {seed} {context[-1]}\\n\\x1b[31m[bold]日本[/bold]"

with report_errors():
    responder = FakeResponder(write)
    make_screen = open_screen(quiet="--quiet" in sys.argv)
    sys.exit(converse(responder, make_screen, title="fake", seed=3, load=dict(enumerate(sys.argv)).get(2)))
"""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("CONVMODEL_TRACEBACK", "NO_COLOR")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def piped(text: bytes, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], input=text, env=environment(), capture_output=True, timeout=60
    )
