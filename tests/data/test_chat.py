"""People's own chats: turns of two sides, gaps, names, and what is left out."""

from typing import Any

import pytest

from convmodel.data.chat import ChatMessage, conversations_from_chat
from convmodel.data.data_file import Notes
from convmodel.data.formats.base import DataFileError, Problem
from convmodel.data.options import ReadOptions

HOUR = 3600.0


def said(*messages: tuple[Any, ...], chat: str = "chat") -> list[ChatMessage | Problem]:
    """Messages of a sender, a text and perhaps hours and a kind."""
    made: list[ChatMessage | Problem] = []
    for line, (sender, text, *more) in enumerate(messages, 1):
        time = more[0] * HOUR if more and more[0] is not None else None
        made.append(ChatMessage(line, chat, time, sender, text, *more[1:]))
    return made


def turns(messages: list[ChatMessage | Problem], notes: Notes | None = None, **options: Any) -> list[Any]:
    given = ReadOptions(**{"me": "Bo", **options})
    records = conversations_from_chat(messages, given, notes or Notes(), source="chat.txt")
    return [record if isinstance(record, Problem) else record.turns for record in records]


def test_successive_messages_of_a_side_are_one_turn() -> None:
    messages = said(("Ida", "a"), ("Ida", "b"), ("bo ", "c"), ("BO", "d"), ("Cy", "e"), ("Ida", "f"), ("Bo", "g"))
    assert turns(messages) == [["a\nb", "c\nd", "e\nf", "g"]]
    assert turns(messages, name_speakers=True) == [["Ida: a\nIda: b", "c\nd", "Cy: e\nIda: f", "g"]]


def test_a_gap_or_another_chat_begins_a_conversation() -> None:
    messages = said(
        ("Ida", "a", 0), ("Bo", "b", 5.9), ("Ida", "c", 12), ("Bo", "d", 13), ("Ida", "e", 1), ("Bo", "f", 1)
    )
    assert turns(messages) == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert turns(messages, gap="20h") == [["a", "b", "c", "d", "e", "f"]]
    assert turns(said(("Ida", "a"), ("Bo", "b")) + said(("Ida", "c"), ("Bo", "d"), chat="x")) == [
        ["a", "b"],
        ["c", "d"],
    ]


def test_what_nobody_answered_and_what_has_no_text_is_left_out_and_counted() -> None:
    notes = Notes()
    messages = said(
        *(("Ida", "a", 0), ("Bo", "photo", 0, "media"), ("", "joined", 0, "system"), ("Bo", "b", 0), ("Ida", "?", 0)),
        *(("Ida", "alone", 10), ("Ida", " ", 10), ("Bo", "monologue", 20)),
    )
    assert turns(messages, notes) == [["a", "b"]]
    assert notes.left_out == {"media message": 2, "system message": 1, "unanswered message": 3}


def test_numbers_and_addresses_are_masked_where_wanted() -> None:
    messages = said(("Ida", "mail a@example.org"), ("Bo", "+49 170 1234567"))
    assert turns(messages, mask=True) == [["mail [mail]", "[phone]"]]
    assert turns(messages) == [["mail a@example.org", "+49 170 1234567"]]


def test_without_a_known_name_the_names_are_listed() -> None:
    messages = said(("Ida", "a"), ("Bo", "b"), ("Ida", "c"))
    wanted = (
        r"chat.txt: it is a chat export; .* with me='Ida' for example; there are Ida \(2 messages\), Bo \(1 message\)"
    )
    with pytest.raises(DataFileError, match=wanted):
        turns(messages, me=None)
    with pytest.raises(DataFileError, match="nobody in it is called 'Cy'; say which"):
        turns(messages, me="Cy")
    assert turns([], me=None) == []


def test_problems_are_passed_on_and_records_have_line_and_time() -> None:
    problem = Problem(3, "damaged; repair it")
    messages = said(("Ida", "a", 1), ("Bo", "b", 1))
    first, second = conversations_from_chat([problem, *messages], ReadOptions(me="Bo"), Notes(), source="x")
    assert first == problem
    assert (second.line, second.meta) == (1, {"time": "1970-01-01T01:00:00"})  # type: ignore[union-attr]


def test_a_conversation_is_not_longer_than_the_limit() -> None:
    messages = said(*[("Ida", "x" * 50), ("Bo", "y" * 40)] * 4)
    assert turns(messages, max_line_bytes=100) == [["x" * 50, "y" * 40]] * 4


def test_a_picture_interrupts_a_silence() -> None:
    messages = said(("Ida", "a", 0), ("Ida", "", 5, "media"), ("Bo", "b", 10), ("Bo", "", 20, "media"), ("Bo", "c", 21))
    assert turns(messages) == [["a", "b"]]


def test_names_are_kept_where_wanted() -> None:
    messages = said(("Ida", "a"), ("Ida", "b"), ("Cy", "c"), ("bo ", "d"), ("BO", "e"), ("+49 170 1234567", "f"))
    messages += said(("Ida", "g"), ("Bo", "h"))

    def kept(**options: Any) -> list[Any]:
        given = ReadOptions(me="Bo", keep_speakers=True, **options)
        records = conversations_from_chat(messages, given, Notes(), source="chat.txt")
        return [(record.turns, record.speakers) for record in records if not isinstance(record, Problem)]

    turns = ["a\nb", "c", "d\ne", "f", "g", "h"]
    assert kept() == [(turns, ["Ida", "Cy", "bo", "+49 170 1234567", "Ida", "bo"])]
    assert kept(mask=True) == [(turns, ["Ida", "Cy", "bo", "[phone]", "Ida", "bo"])]
    with pytest.raises(ValueError, match="keep_speakers=True and name_speakers=True both write the names"):
        ReadOptions(keep_speakers=True, name_speakers=True)
