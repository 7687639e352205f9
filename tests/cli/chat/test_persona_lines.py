"""ParlAI's way of saying who replies: lines before a conversation."""

import io

import pytest

from convmodel.cli.chat.loop import ChatError, split_persona_lines, talk
from convmodel.cli.chat.plain import PipeScreen
from convmodel.cli.chat.slash import run_command
from convmodel.cli.chat.state import Chat
from tests.fakes import FakeResponder


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
    assert [asked["persona"] for asked in responder.asked] == [("a", "b"), ("a", "b")]
    assert responder.asked[0]["context"] == ("Hello",) and responder.asked[1]["context"][-1] == "your persona: c"
    assert replies.count("\n") == 2 and "persona: a\npersona: b\n" in notes


def test_each_conversation_of_a_pipe_may_have_its_own_persona() -> None:
    responder, _, _ = piped("your persona: a\nHello\n/reset\nyour persona: b\nyour persona: c\nHello\n/reset\nHello\n")
    assert [asked["persona"] for asked in responder.asked] == [("a",), ("b", "c"), ("b", "c")]


def test_the_first_line_replaces_the_persona_that_was_given_before() -> None:
    responder, _, _ = piped("/persona add d\nyour persona: a\nyour persona: b\nHello\n", persona=["x"])
    assert responder.asked[0]["persona"] == ("a", "b")


def test_pasted_lines_are_a_persona_and_what_is_said() -> None:
    responder = FakeResponder()
    chat = Chat(responder)

    class Pasted(PipeScreen):
        def read(self) -> str | None:
            return None if responder.asked else "your persona: a\nyour persona: b\nHello\nyou"

    talk(chat, Pasted(io.BytesIO(), replies=io.StringIO(), notes=None))
    assert responder.asked[0]["persona"] == ("a", "b") and responder.asked[0]["context"] == ("Hello\nyou",)


def test_a_line_without_a_sentence_is_told() -> None:
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
