"""Streaming of a reply, and its interruption."""

import signal
import threading
from collections.abc import Iterator

import pytest

from convmodel.cli.chat.loop import talk
from convmodel.cli.chat.stream import stream_reply
from convmodel.responders.protocol import Candidate, Reply
from tests.cli.chat.helpers import Sheet, chat_with, interrupt_when, say_so
from tests.fakes import FakeResponder


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
