"""Streaming of a reply, and its interruption."""

import signal
import threading
from collections.abc import Iterator

import pytest

from convmodel.cli.chat.loop import talk
from convmodel.cli.chat.outcome import Outcome
from convmodel.cli.chat.state import Chat
from convmodel.cli.chat.stream import stream_reply
from convmodel.responders.protocol import Candidate, Reply
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


@pytest.fixture(autouse=True)
def _interrupts_as_they_were() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait_for_a_responder_that_hangs() -> None:
    free, held = threading.Event(), threading.Event()

    class Hanging:
        cancelled = 0

        def __iter__(self) -> Iterator[str]:
            yield "a word"
            held.set()
            free.wait(5)

        def cancel(self) -> None:
            self.cancelled += 1
            signal.raise_signal(signal.SIGINT)

        def result(self) -> Reply:
            return Reply((Candidate("never seen"),))

    hanging = Hanging()
    thread = interrupt_when(held)
    reply = stream_reply(hanging, lambda piece: None, interruptible=True)
    thread.join()
    free.set()
    assert (reply.text, reply.finish, hanging.cancelled) == ("a word", "cancelled", 1)


def test_where_ctrl_c_is_not_for_the_reply_it_is_an_interrupt_and_the_reply_is_cancelled() -> None:
    responder = FakeResponder(say_so, hold=1)
    replying = responder.start(["Hello"], seed=1)
    thread = interrupt_when(responder.held)
    with pytest.raises(KeyboardInterrupt):
        stream_reply(replying, lambda piece: None, interruptible=False)
    thread.join()
    assert replying.result().finish == "cancelled"


def test_whoever_waits_long_for_the_first_piece_is_told_once() -> None:
    responder = FakeResponder(say_so, hold=0)
    threading.Timer(0.5, responder.go_on.set).start()
    sheet = Sheet("Hello")
    talk(chat_with(responder), sheet)
    assert sheet.waits == 1
