"""Exports of DiscordChatExporter as JSON and CSV: names, bots, parts of a channel, and what has no text."""

import json
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError, ConversationReader

IDA = {"id": "7", "name": "ida_99", "discriminator": "0000", "nickname": "Ida", "isBot": False, "roles": []}
BO = {"id": "8", "name": "bo", "discriminator": "0000", "nickname": "Bo", "isBot": False}
BOT = {"id": "9", "name": "Helper", "discriminator": "1234", "nickname": None, "isBot": True}


def message(minute: int, author: dict[str, Any], content: str, **fields: Any) -> dict[str, Any]:
    stamp = f"2024-05-01T12:{minute:02}:00.1234567+02:00"
    return {
        **{"id": str(minute), "type": "Default", "timestamp": stamp, "timestampEdited": None, "isPinned": False},
        **{"content": content, "author": author, "attachments": [], "embeds": [], "stickers": [], "mentions": []},
        **{"reactions": [], **fields},
    }


def export(*messages: dict[str, Any], **channel: Any) -> str:
    fields: dict[str, Any] = {
        "guild": {"id": "0", "name": "Lake"},
        "channel": {"id": "1", "type": "GuildTextChat", **channel},
    }
    fields |= {"dateRange": {"after": None, "before": None}, "exportedAt": "2024-06-01T00:00:00"}
    return json.dumps({**fields, "messages": messages, "messageCount": len(messages)}, indent=2)


def test_the_json_export_of_a_channel_is_read(reader: Any) -> None:
    content = export(
        message(0, IDA, "Joined the server.", type="GuildMemberJoin"),
        message(1, IDA, "Hi <@!8> <:wave:123>", mentions=[BO]),
        message(2, BO, "", attachments=[{"url": "x.png"}]),
        message(3, BOT, "Welcome!"),
        message(4, BO, "Hi", type="Reply", reference={"messageId": "1"}, timestampEdited="2024-05-01T10:09:00+02:00"),
        message(5, IDA, "", forwardedMessage={"content": "Bye", "timestamp": "2024-05-01T10:00:00+00:00"}),
        topic="x",
    )
    made = reader(content, me="bo")
    assert made.format == "discord"
    [conversation] = made
    assert conversation.turns == ("Hi @Bo :wave:", "Hi")
    assert conversation.meta == {"time": "2024-05-01T10:01:00"}
    assert dict(made.report.skipped_messages) == {
        **{"system message": 1, "media message": 1, "message of a bot": 1, "unanswered message": 1}
    }
    assert [each.turns for each in reader(content, me="ida_99")] == [("Hi @Bo :wave:", "Hi", "Bye")]
    assert [each.turns[-1] for each in reader(content, me="Helper", name_speakers=True)] == ["Welcome!"]


def test_the_parts_of_a_channel_are_one_chat(tmp_path: Path) -> None:
    (tmp_path / "Lake - x [1].json").write_text(export(message(1, IDA, "a"), message(2, BO, "b"), message(3, IDA, "c")))
    (tmp_path / "Lake - x [1] [part 2].json").write_text(export(message(4, BO, "d")))
    (tmp_path / "Lake - y [2].json").write_text(export(message(1, IDA, "e"), message(2, BO, "f"), id="2"))
    assert [each.turns for each in ConversationReader(tmp_path, me="Bo")] == [("a", "b", "c", "d"), ("e", "f")]


@pytest.mark.parametrize("dates", [("2024-05-01T10:00:00.0000000+00:00",) * 2, ("01-May-24 10:00 AM",) * 2, ("", "")])
def test_the_csv_export_is_read(reader: Any, dates: tuple[str, str]) -> None:
    rows = [
        f'"7","ida_99","{dates[0]}","Two',
        'lines, ""quoted""","",""',
        f'"8","Bo#0000","{dates[1]}","","https://example.org/1.png",""',
        f'"8","Bo#1234","{dates[1]}","Yes.","","👍 (1)"',
    ]
    content = "\n".join(["AuthorID,Author,Date,Content,Attachments,Reactions", *rows])
    made = reader(content, me="Bo", name="x.csv")
    assert made.format == "discord"
    [conversation] = made
    assert conversation.turns == ('Two\nlines, "quoted"', "Yes.")
    assert conversation.meta == (None if not dates[0] else {"time": "2024-05-01T10:00:00"})
    assert made.report.skipped_messages["media message"] == 1


def test_a_broken_row_is_told_with_its_line(reader: Any) -> None:
    content = 'AuthorID,Author,Date,Content,Attachments,Reactions\n7,a,,b,,\n7,a,"oops\n8,Bo,,c,,\n'
    with pytest.raises(ConversationFileError, match=r":3: not a row"):
        list(reader(content, me="Bo"))
    assert [each.turns for each in reader(content, me="Bo", on_error="skip")] == [("b", "c")]
    with pytest.raises(ConversationFileError, match=r":1: the header has no column 'author'"):
        list(reader("a,b\n1,2\n", format="discord"))
