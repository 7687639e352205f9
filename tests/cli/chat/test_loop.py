"""The loop of a chat: replies, failures, interrupts."""

import io
from collections.abc import Mapping
from typing import Any

import pytest

from convmodel.cli.chat.loop import ChatError, split_persona_lines, talk
from convmodel.cli.chat.plain import PipeScreen
from convmodel.cli.chat.screen import Outcome
from convmodel.cli.chat.slash import run_command
from convmodel.cli.chat.state import Chat
from tests.cli.chat.helpers import Sheet, chat_with, interrupt_when, say_so
from tests.fakes import FakeResponder


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


def test_a_retry_without_sampling_says_so() -> None:
    sheet = Sheet("/set do_sample false", "Hello", "/retry")
    talk(chat_with(FakeResponder()), sheet)
    assert "with every seed the reply is the same" in sheet.outcomes[-1].text


def test_errors_are_shown_and_the_chat_continues() -> None:
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


def test_without_a_user_the_first_error_ends_the_chat_with_its_position() -> None:
    with pytest.raises(ChatError, match="line 7: there is no command /sett"):
        talk(chat_with(FakeResponder()), Sheet("/sett", interactive=False))
    with pytest.raises(ChatError, match="line 7: 0 replies are being made"):
        talk(chat_with(FakeResponder(capacity=0)), Sheet("Hello", interactive=False))
    with pytest.raises(RuntimeError, match="out of memory"):
        talk(chat_with(FakeResponder(error=RuntimeError("out of memory"))), Sheet("Hello", interactive=False))


def test_a_turn_waits_while_the_queue_is_full() -> None:
    chat, sheet = chat_with(FakeResponder(capacity=0)), Sheet("Hello")
    talk(chat, sheet)
    assert chat.turns == ("Hello",)
    assert sheet.errors == ["0 replies are being made; try again later; /retry tries again"]


@pytest.mark.parametrize("after", [0, 2])
def test_a_failed_reply_is_an_error_and_the_turn_waits(after: int) -> None:
    responder = FakeResponder(say_so, error=RuntimeError("out of memory"), error_after=after)
    chat, sheet = chat_with(responder), Sheet("Hello")
    talk(chat, sheet)
    assert chat.turns == ("Hello",) and sheet.replies == [None]
    assert sheet.errors == ["the reply failed (RuntimeError: out of memory); /retry tries again"]
    responder.error = None
    talk(chat, Sheet("/retry"))
    assert chat.turns == ("Hello", say_so(0, 2, 0))


def test_a_failed_retry_restores_the_previous_reply() -> None:
    responder = FakeResponder(say_so)
    chat = chat_with(responder)
    talk(chat, Sheet("Hello"))
    responder.error = RuntimeError("out of memory")
    talk(chat, Sheet("/retry"))
    assert chat.turns == ("Hello", say_so(0, 1, 0)) and chat.last is not None


def test_a_reply_without_text_is_an_error() -> None:
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


# The status line


@pytest.mark.parametrize(
    ("text", "sentences", "rest"),
    [
        ("your persona: I like rain.", ["I like rain."], ""),
        ("  Your Persona:I like rain. \r", ["I like rain."], ""),
        ("your persona: a\nyour persona: b\nHello\nyour persona: c", ["a", "b"], "Hello\nyour persona: c"),
        ("Hello your persona: a", [], "Hello your persona: a"),
        ("your personality: a", [], "your personality: a"),
        ("", [], ""),
    ],
)
def test_sentences_come_before_what_is_said(text: str, sentences: list[str], rest: str) -> None:
    assert split_persona_lines(text) == (sentences, rest)


def piped(text: str, **settings: object) -> tuple[FakeResponder, str, str]:
    """What was asked, what was replied, and the notes of a chat through a pipe."""
    responder, replies, notes = FakeResponder(), io.StringIO(), io.StringIO()
    talk(Chat(responder, seed=1, **settings), PipeScreen(io.BytesIO(text.encode()), replies=replies, notes=notes))  # type: ignore[arg-type]
    return responder, replies.getvalue(), notes.getvalue()


def test_lines_before_the_first_message_are_the_persona_and_later_ones_are_said() -> None:
    responder, replies, notes = piped("your persona: a\nYour persona: b\n\nHello\nyour persona: c\n")
    assert [request["persona"] for request in responder.requests] == [("a", "b"), ("a", "b")]
    assert responder.requests[0]["context"] == ("Hello",) and responder.requests[1]["context"][-1] == "your persona: c"
    assert replies.count("\n") == 2 and "persona: a\npersona: b\n" in notes


def test_each_conversation_of_a_pipe_may_have_its_own_persona() -> None:
    responder, _, _ = piped("your persona: a\nHello\n/reset\nyour persona: b\nyour persona: c\nHello\n/reset\nHello\n")
    assert [request["persona"] for request in responder.requests] == [("a",), ("b", "c"), ("b", "c")]


def test_the_first_line_replaces_the_persona_that_was_given_before() -> None:
    responder, _, _ = piped("/persona add d\nyour persona: a\nyour persona: b\nHello\n", persona=["x"])
    assert responder.requests[0]["persona"] == ("a", "b")


def test_pasted_lines_are_a_persona_and_what_is_said() -> None:
    responder = FakeResponder()
    chat = Chat(responder)

    class Pasted(PipeScreen):
        def read(self) -> str | None:
            return None if responder.requests else "your persona: a\nyour persona: b\nHello\nyou"

    talk(chat, Pasted(io.BytesIO(), replies=io.StringIO(), notes=None))
    assert responder.requests[0]["persona"] == ("a", "b") and responder.requests[0]["context"] == ("Hello\nyou",)


def test_a_persona_line_without_a_sentence_is_an_error() -> None:
    with pytest.raises(ChatError, match="stdin:2: there is no sentence after 'your persona:'"):
        piped("your persona: a\nyour persona: \n")


def test_a_conversation_that_goes_on_has_its_persona_already() -> None:
    chat = Chat(FakeResponder(), persona=["x"])
    chat.say("Hello")
    chat.add_reply(chat.start().result())
    run_command(chat, "/undo")
    chat.add_persona(["a"])
    assert chat.persona == ("a",)
    with pytest.raises(ValueError, match="persona sentence 2"):
        chat.add_persona([""])
    assert chat.persona == ("a",)
