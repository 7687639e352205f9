"""Telegram's JSON export: of one chat and of an account, texts of entities, and what has no text."""

import json
from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError


def message(number: int, sender: str | None, text: Any, **fields: Any) -> dict[str, Any]:
    return {
        **{"id": number, "type": "message", "date": f"2024-05-01T10:{number:02}:00", "from": sender},
        **{"date_unixtime": "0", "from_id": f"user{len(sender or '')}", "text": text, **fields},
    }


MESSAGES = [
    {**message(1, None, ""), "type": "service", "actor": "Ida", "action": "phone_call", "duration_seconds": 3},
    message(2, "Ida", ["see ", {"type": "link", "text": "example.org"}, "!"], text_entities=[]),
    message(3, "Ida", "", photo="photos/1.jpg", width=3),
    message(4, "Ida", "This one", photo="(File not included. Change data exporting settings to download.)"),
    message(5, "Bo", "Nice.", edited="2024-05-01T10:06:00", reply_to_message_id=2),
    message(6, "Ida", "", media_type="sticker", sticker_emoji="👍", file="stickers/1.webp"),
    message(7, "Ida", "A poem", forwarded_from="Cy"),
    message(8, "Bo", [{"type": "bold", "text": "Ha"}]),
    message(9, "Ida", "Bye"),
]
CHAT = {"name": "Ida", "type": "personal_chat", "id": 5, "messages": MESSAGES}
TURNS = ("see example.org!\nThis one", "Nice.", "👍\nA poem", "Ha")


@pytest.mark.parametrize("indent", [None, 1])
def test_the_export_of_a_chat_is_read(reader: Any, indent: int | None) -> None:
    made = reader(json.dumps(CHAT, indent=indent), me="Bo")
    assert made.format == "telegram"
    [conversation] = made
    assert conversation.turns == TURNS
    assert conversation.meta == {"time": "2024-05-01T10:02:00"}
    assert dict(made.report.skipped_messages) == {"system message": 1, "media message": 1, "unanswered message": 1}


def test_the_export_of_an_account_is_read(reader: Any) -> None:
    other = {
        "name": "Ida",
        "type": "private_group",
        "id": 6,
        "messages": [message(1, "Cy", "a"), message(2, "Bo", "b")],
    }
    account = {
        **{"about": "Here is the data you requested. Telegram ...", "personal_information": {"first_name": "Bo"}},
        **{"contacts": {"about": "", "list": [{"first_name": "Ida", "phone_number": "1"}]}},
        **{"chats": {"about": "", "list": [CHAT, other]}, "left_chats": {"list": [CHAT]}},
    }
    made = reader(json.dumps(account, ensure_ascii=False), me="bo")
    assert made.format == "telegram"
    assert [conversation.turns for conversation in made] == [TURNS, ("a", "b"), TURNS]


def test_the_line_of_a_broken_message_is_told(reader: Any) -> None:
    lines = json.dumps(CHAT, indent=1, ensure_ascii=False).replace('"Bye"', "Bye")
    broken = 1 + lines[: lines.index("Bye")].count("\n")
    with pytest.raises(ConversationFileError, match=f"conversations:{broken}: not JSON"):
        list(reader(lines, me="Bo"))
    made = reader(lines, me="Bo", on_error="skip")
    assert [each.turns for each in made] == [TURNS] and made.report.skipped == 1


def test_fields_may_be_missing_or_of_another_type(reader: Any) -> None:
    chat = {"type": "x", "messages": [message(1, None, "a"), {"type": "message", "text": 7}, 7, message(2, "Bo", "b")]}
    made = reader(json.dumps(chat), me="Bo")
    assert [conversation.turns for conversation in made] == [("a", "b")]
    with pytest.raises(ConversationFileError, match=r"there are user0 \(1 message\), Bo \(1 message\)"):
        list(reader(json.dumps(chat)))


def test_messages_of_roles_are_not_telegrams(reader: Any) -> None:
    assert reader('{"messages": [{"role": "user", "content": "a", "id": 1, "type": "message"}]}').format == "jsonl"


def test_a_chat_without_messages_and_a_page_of_html_are_told(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match="there are no conversations in it"):
        list(reader(json.dumps({**CHAT, "messages": []}), me="Bo"))
    with pytest.raises(ConversationFileError, match=r"is a page of HTML.*; export it again as JSON"):
        reader("<!DOCTYPE html>\n<html></html>", name="messages.html")
