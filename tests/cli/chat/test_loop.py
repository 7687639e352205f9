"""The loop of a chat: replies, failures, interrupts."""

import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from convmodel.cli.chat.loop import ChatError, talk
from convmodel.cli.chat.outcome import Outcome
from convmodel.cli.chat.state import Chat
from convmodel.cli.chat.status import status_line
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


def test_a_reply_is_shown_piece_by_piece_and_becomes_a_turn() -> None:
    chat, sheet = chat_with(FakeResponder(say_so)), Sheet("Hello", "  ", "//slash")
    talk(chat, sheet)
    assert chat.turns == ("Hello", say_so(0, 1, 0), "/slash", say_so(0, 1, 0))
    assert len(sheet.pieces) == 8 and "".join(sheet.pieces) == say_so(0, 1, 0)
    assert sheet.errors == []


def test_quit_ends_the_loop_and_commands_are_shown() -> None:
    sheet = Sheet("/persona I like rain.", "/quit", "never read")
    chat = chat_with(FakeResponder())
    talk(chat, sheet)
    assert sheet.outcomes == [Outcome("I like rain.")] and chat.turns == ()


def test_a_retry_says_its_seed() -> None:
    chat, sheet = chat_with(FakeResponder(say_so)), Sheet("Hello", "/retry", "/retry")
    talk(chat, sheet)
    assert [outcome.text for outcome in sheet.outcomes] == ["made with seed 2", "made with seed 3"]
    assert chat.turns == ("Hello", say_so(0, 3, 0))


def test_a_retry_of_a_reply_for_which_nothing_is_drawn_says_so() -> None:
    sheet = Sheet("/set do_sample false", "Hello", "/retry")
    talk(chat_with(FakeResponder()), sheet)
    assert "with every seed the reply is the same" in sheet.outcomes[-1].text


def test_errors_are_shown_and_the_talk_goes_on() -> None:
    chat, sheet = chat_with(FakeResponder(say_so)), Sheet("/sett", "this is too long", "Hello")
    talk(chat, sheet)
    assert "did you mean /set" in sheet.errors[0]
    assert "does not fit into the window" in sheet.errors[1]
    assert chat.turns == ("Hello", say_so(0, 1, 0))


def test_a_conversation_does_not_end_with_a_defect() -> None:
    class Broken(FakeResponder):
        def check_options(self, options: Mapping[str, Any]) -> None:
            if options:
                raise TypeError("a defect")

    sheet = Sheet("/set temperature 1", "/quit")
    talk(chat_with(Broken()), sheet)
    assert sheet.errors == ["TypeError: a defect"]
    with pytest.raises(TypeError, match="a defect"):
        talk(chat_with(Broken()), Sheet("/set temperature 1", interactive=False))


def test_where_nobody_sits_the_first_error_ends_the_talk_and_says_where() -> None:
    with pytest.raises(ChatError, match="line 7: there is no command /sett"):
        talk(chat_with(FakeResponder()), Sheet("/sett", interactive=False))
    with pytest.raises(ChatError, match="line 7: 0 replies are being made"):
        talk(chat_with(FakeResponder(capacity=0)), Sheet("Hello", interactive=False))
    with pytest.raises(RuntimeError, match="out of memory"):
        talk(chat_with(FakeResponder(error=RuntimeError("out of memory"))), Sheet("Hello", interactive=False))


def test_a_turn_waits_when_there_is_too_much_to_do() -> None:
    chat, sheet = chat_with(FakeResponder(capacity=0)), Sheet("Hello")
    talk(chat, sheet)
    assert chat.turns == ("Hello",)
    assert sheet.errors == ["0 replies are being made; try again later; /retry tries again"]


@pytest.mark.parametrize("after", [0, 2])
def test_a_reply_that_fails_is_told_and_the_turn_waits(after: int) -> None:
    responder = FakeResponder(say_so, error=RuntimeError("out of memory"), error_after=after)
    chat, sheet = chat_with(responder), Sheet("Hello")
    talk(chat, sheet)
    assert chat.turns == ("Hello",) and sheet.replies == [None]
    assert sheet.errors == ["the reply failed (RuntimeError: out of memory); /retry tries again"]
    responder.error = None
    talk(chat, Sheet("/retry"))
    assert chat.turns == ("Hello", say_so(0, 2, 0))


def test_a_retry_that_fails_brings_the_old_reply_back() -> None:
    responder = FakeResponder(say_so)
    chat = chat_with(responder)
    talk(chat, Sheet("Hello"))
    responder.error = RuntimeError("out of memory")
    talk(chat, Sheet("/retry"))
    assert chat.turns == ("Hello", say_so(0, 1, 0)) and chat.last is not None


def test_a_reply_without_text_is_told() -> None:
    chat, sheet = chat_with(FakeResponder(lambda *_: " ")), Sheet("Hello")
    talk(chat, sheet)
    assert chat.turns == ("Hello",) and sheet.errors == ["the reply has no text; /retry tries again"]


def test_ctrl_c_stops_the_reply_and_what_was_written_stays() -> None:
    responder = FakeResponder(say_so, hold=3)
    chat, sheet = chat_with(responder), Sheet("Hello", "/seed")
    thread = interrupt_when(responder.held)
    talk(chat, sheet)
    thread.join()
    assert chat.turns == ("Hello", "a reply of")
    assert sheet.replies[0] is not None and sheet.replies[0].finish == "cancelled"
    assert sheet.outcomes[-1].text == "seed 1; the last one was 1"  # the program went on


def test_ctrl_c_before_the_first_word_leaves_the_turn_and_retry_works() -> None:
    responder = FakeResponder(say_so, hold=0)
    chat, sheet = chat_with(responder), Sheet("Hello")
    thread = interrupt_when(responder.held)
    talk(chat, sheet)
    thread.join()
    assert chat.turns == ("Hello",) and sheet.errors == ["stopped before the first word; /retry tries again"]
    responder.go_on.set()
    talk(chat, Sheet("/retry"))
    assert chat.turns == ("Hello", say_so(0, 2, 0))


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


# The status line

REPLY = Reply(
    (Candidate("Hi"),),
    context_tokens=20,
    reply_tokens=11,
    window=512,
    turns_dropped=1,
    seconds=0.5,
    first_seconds=0.0123,
    seed=7,
)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (None, "31 of 512 tokens · 1 turn dropped · 22 tokens/s · first 12 ms · seed 7"),
        (60, "31/512 tok · 1 dropped · 22 tok/s · 12 ms · seed 7"),
        (40, "31/512 tok · 1 dropped · 22 tok/s"),
        (12, "31/512 tok"),
        (3, "31/"),
    ],
)
def test_the_status_line_shows_what_fits(columns: int | None, line: str) -> None:
    assert status_line(REPLY, columns) == line


def test_a_turn_that_was_cut_is_told_where_no_turn_was_dropped() -> None:
    cut = replace(REPLY, turns_dropped=0, tokens_dropped=90)
    assert status_line(cut).startswith("31 of 512 tokens · 0 turns dropped · 90 tokens of your turn cut · ")
    assert status_line(cut, 40) == "31/512 tok · 0 dropped · turn cut"
    assert "cut" not in status_line(replace(REPLY, tokens_dropped=90))


def test_a_reply_of_something_without_a_window_has_a_status_too() -> None:
    assert status_line(Reply((Candidate("Hi"),), seconds=1.25)) == "1.2 s"
