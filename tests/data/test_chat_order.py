"""Messages by chat and time, with most of them in temporary files."""

import random
from typing import Any

import pytest

from convmodel.data.chat import ChatMessage
from convmodel.data.chat_order import sort_messages
from convmodel.data.formats.base import Problem


def message(chat: str, time: float | None, text: Any = "") -> ChatMessage:
    return ChatMessage(1, chat, time, "Ida \ud800", str(text), file="x.json")


@pytest.mark.parametrize("held", [1, 5_000, 10**9])
def test_messages_are_sorted_by_chat_and_time(held: int) -> None:
    wanted = [message(chat, time, text) for chat in "abc" for time in range(40) for text in range(2)]
    mixed = sorted(wanted, key=lambda each: each.text)
    halves = [mixed[:120], mixed[120:]]
    for half in halves:
        random.Random(1).shuffle(half)
    found = list(sort_messages([*halves[0], Problem(1, "broken"), *halves[1]], held=held))
    assert found == [Problem(1, "broken"), *wanted]


def test_messages_of_one_time_keep_their_order_or_reverse_it() -> None:
    one, two, three, four = messages = [message("a", time, time) for time in (5, 5, None, 4)]
    assert list(sort_messages(messages)) == [four, one, two, three]
    assert list(sort_messages(messages, newest_first=True)) == [four, three, two, one]


def test_a_message_of_two_files_is_marked_as_repeated() -> None:
    messages = [ChatMessage(1, "c", 1.0, "Ida", text, file=file) for file in ("a", "b") for text in ("x", "y", "x")]
    found = [each for each in sort_messages(messages) if isinstance(each, ChatMessage)]
    assert [(each.file, each.kind) for each in found] == [("a", "text")] * 3 + [("b", "repeated")] * 3
