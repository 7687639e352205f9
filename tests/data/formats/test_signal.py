"""Signal's messages as JSON: signal-cli, Signal's own export, signal-export and rows of Signal Desktop."""

import json
from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError

START = 1714557600000


def lines(*objects: Any) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


def received(minute: int, name: str, **fields: Any) -> dict[str, Any]:
    """A message of signal-cli that somebody sent to the account."""
    stamp = START + 60_000 * minute
    envelope: dict[str, Any] = {
        "source": f"+49{name}",
        "sourceNumber": f"+49{name}",
        "sourceUuid": name * 4,
        "sourceName": name,
    }
    envelope |= {"sourceDevice": 1, "timestamp": stamp}
    data = {"timestamp": stamp, "expiresInSeconds": 0, "viewOnce": False, **fields}
    return {"envelope": {**envelope, "dataMessage": data}, "account": "+49Bo"}


def sent(minute: int, receiver: str, **fields: Any) -> dict[str, Any]:
    """A message of signal-cli that another device of the account sent."""
    message = received(minute, "Bo")
    data = message["envelope"].pop("dataMessage")
    data |= {"destination": f"+49{receiver}", "destinationNumber": f"+49{receiver}", **fields}
    message["envelope"]["syncMessage"] = {"sentMessage": data}
    return message


def edited(minute: int, name: str, target: int, text: str) -> dict[str, Any]:
    message = received(minute, name)
    data = {**message["envelope"].pop("dataMessage"), "message": text}
    message["envelope"]["editMessage"] = {"targetSentTimestamp": START + 60_000 * target, "dataMessage": data}
    return message


def test_envelopes_of_signal_cli_are_chats_in_order(reader: Any) -> None:
    group = {"groupInfo": {"groupId": "g=", "type": "DELIVER"}}
    typing = {"envelope": {"source": "+49Ida", "typingMessage": {"action": "STARTED"}}, "account": "+49Bo"}
    content = lines(
        received(0, "Ida", message="Are you their?"),
        received(1, "Cy", message="Hi all", **group),
        typing,
        sent(2, "Ida", message="Yes"),
        edited(3, "Ida", 0, "Are you there?"),
        received(4, "Ida", reaction={"emoji": "👍", "targetSentTimestamp": START}),
        sent(5, "Ida", message="", attachments=[{"contentType": "image/png"}]),
        received(6, "Ida", message=None, sticker={"packId": "x", "emoji": "😀"}),
        received(7, "Ida", message="oops"),
        received(8, "Ida", remoteDelete={"timestamp": START + 60_000 * 7}),
        sent(9, "Ida", message="Bye", quote={"id": START, "text": "Are you their?"}),
        {"jsonrpc": "2.0", "method": "receive", "params": sent(10, "", destination=None, message="Hello", **group)},
    )
    made = reader(content, me="Bo")
    assert made.format == "signal"
    assert [each.turns for each in made] == [("Are you there?", "Yes", "😀", "Bye"), ("Hi all", "Hello")]
    assert dict(+made.report.skipped_messages) == {"media message": 1, "system message": 1}
    assert [each.turns for each in reader(content, me="+49Bo")] == [each.turns for each in made]


def test_a_list_of_envelopes_is_read_too(reader: Any) -> None:
    content = json.dumps([received(0, "Ida", message="a"), sent(1, "Ida", message="b")], indent=1)
    assert [each.turns for each in reader(content, me="Bo")] == [("a", "b")]


def item(minute: int, chat: str, author: str, **fields: Any) -> dict[str, Any]:
    return {"chatItem": {"chatId": chat, "authorId": author, "dateSent": str(START + 60_000 * minute), **fields}}


def text(body: str, **fields: Any) -> dict[str, Any]:
    return {"standardMessage": {"text": {"body": body}, **fields}}


def test_signals_own_export_is_read_with_its_names(reader: Any) -> None:
    content = lines(
        {"version": "1", "backupTimeMs": str(START)},
        {"account": {"givenName": "Bo", "familyName": "C"}},
        {"recipient": {"id": "1", "self": {}}},
        {"recipient": {"id": "2", "contact": {"e164": "4917", "profileGivenName": "Ida"}}},
        {"recipient": {"id": "3", "contact": {"systemGivenName": "Cy", "systemFamilyName": "D"}}},
        {"chat": {"id": "7", "recipientId": "2"}},
        item(0, "7", "2", incoming={}, **text("Are you there?")),
        item(1, "8", "3", incoming={}, **text("a")),
        item(2, "7", "1", outgoing={}, revisions=[{"standardMessage": {}}], **text("Yes", quote={"text": {}})),
        item(3, "7", "2", updateMessage={"simpleUpdate": {}}),
        item(4, "7", "2", standardMessage={"attachments": [{}]}),
        item(5, "7", "2", stickerMessage={"sticker": {"emoji": "😀"}}),
        item(6, "7", "1", outgoing={}, remoteDeletedMessage={}),
        item(7, "7", "1", outgoing={}, directStoryReplyMessage={"textReply": {"text": {"body": "Ha"}}}),
        item(8, "8", "1", outgoing={}, **text("b")),
    )
    made = reader(content, me="Bo C", name_speakers=True)
    assert made.format == "signal"
    assert [each.turns for each in made] == [("Ida: Are you there?", "Yes", "Ida: 😀", "Ha"), ("Cy D: a", "b")]
    assert dict(+made.report.skipped_messages) == {"media message": 1, "system message": 2}
    assert len(list(reader(content, me="Me"))) == 2


def exported(minute: int, sender: str, body: str, **fields: Any) -> dict[str, Any]:
    date = f"2024-05-01T10:{minute:02}:00.123000"
    extra: dict[str, Any] = {
        "quote": "",
        "sticker": None,
        "reactions": [],
        "attachments": [],
        "deleted": False,
        "call": False,
    }
    return {"date": date, "sender": sender, "body": body, **extra, **fields}


def test_the_json_of_signal_export_is_read(reader: Any) -> None:
    content = lines(
        exported(0, "Ida", "Are you there?", reactions=[["Me", "👍"]]),
        exported(1, "Me", "Yes", quote="> Are you there?"),
        exported(2, "Ida", "", attachments=[{"name": "x", "path": "media/x"}]),
        exported(3, "Ida", "x", deleted=True),
        exported(4, "Ida", "Incoming voice call", call=True),
        exported(5, "Ida", "", sticker={"emoji": "😀", "id": "1"}),
        exported(6, "Me", "Bye"),
    )
    made = reader(content, me="Me", name="data.json")
    assert made.format == "signal"
    [conversation] = made
    assert conversation.turns == ("Are you there?", "Yes", "😀", "Bye")
    assert conversation.meta == {"time": "2024-05-01T10:00:00"}
    assert dict(+made.report.skipped_messages) == {"media message": 2, "system message": 1}


def row(minute: int, kind: str, body: str | None, **fields: Any) -> dict[str, Any]:
    return {
        "id": str(minute),
        "conversationId": "c",
        "type": kind,
        "sent_at": START + 60_000 * minute,
        "body": body,
        **fields,
    }


@pytest.mark.parametrize("layout", ["%s", '{"groups_name_id": [{"x": "y"}], "messsages": %s}', '{"messages": %s}'])
def test_rows_of_signal_desktop_are_read(reader: Any, layout: str) -> None:
    rows = [
        row(1, "outgoing", "Yes", editHistory=[{"body": "Yse"}]),
        row(0, "incoming", "Are you there?", source="+4917", hasAttachments=0),
        row(2, "call-history", None, callId="1"),
        row(3, "incoming", "", source="+4917", deletedForEveryone=True),
        row(4, "incoming", None, source="+4917", hasAttachments=1),
    ]
    made = reader(layout % json.dumps(rows), me="Me")
    assert made.format == "signal"
    assert [each.turns for each in made] == [("Are you there?", "Yes")]
    assert dict(+made.report.skipped_messages) == {"media message": 1, "system message": 2}
    with pytest.raises(ConversationFileError, match=r"there are \+4917 \(1 message\), Me \(1 message\)"):
        list(reader(layout % json.dumps(rows)))
