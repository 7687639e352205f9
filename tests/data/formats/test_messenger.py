"""Messages of Messenger and Instagram: mended texts, the order of files, and remarks of the program."""

import json
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import ConversationReader
from convmodel.data.formats.messenger import mend


def spoil(text: str) -> str:
    return text.encode().decode("latin-1")


def message(minute: int, sender: str, text: str | None = None, **fields: Any) -> dict[str, Any]:
    content = {} if text is None else {"content": spoil(text)}
    return {"sender_name": spoil(sender), "timestamp_ms": 1714557600000 + minute * 60000, **content, **fields}


def export(*messages: dict[str, Any]) -> str:
    people = [{"name": spoil("Zoë")}, {"name": "Bo"}]
    fields = {"title": "Bo", "is_still_participant": True, "thread_path": "inbox/bo_1", "magic_words": []}
    return json.dumps({"participants": people, "messages": messages[::-1], **fields})


def test_texts_are_mended_and_the_oldest_message_is_first(reader: Any) -> None:
    reactions = [{"reaction": spoil("❤"), "actor": "Bo"}]
    content = export(
        message(1, "Zoë", "Ça va ?", reactions=reactions),
        message(1, "Zoë", "Dis-moi"),
        message(2, "Bo", "Très bien 😀"),
    )
    made = reader(content, me="Bo")
    assert made.format == "messenger"
    [conversation] = made
    assert conversation.turns == ("Ça va ?\nDis-moi", "Très bien 😀")
    assert conversation.meta == {"time": "2024-05-01T10:01:00"}


@pytest.mark.parametrize("text", ["Très bien", "Ã", "Ãœ is a mess", "日本 Ã", "x\x85\x86"])
def test_text_that_is_right_is_unchanged(text: str) -> None:
    assert mend(text) == text
    assert mend(spoil("é日😀") + " ok é") == "é日😀 ok é"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("media", {}),
        ("media", {"text": "You sent an attachment."}),
        ("media", {"text": "Zoë sent an attachment.", "share": {"link": "x"}}),
        ("media", {"text": "Zoë sent 3 photos."}),
        ("media", {"text": "Du hast einen Anhang gesendet."}),
        ("media", {"text": "Zoë a envoyé une pièce jointe."}),
        ("media", {"text": "Zoë sent a GIF by Bo.", "gifs": [{"uri": "x"}]}),
        ("media", {"photos": [{"uri": "x"}]}),
        ("system", {"text": "Reacted 😀 to your message "}),
        ("system", {"text": "Liked a message"}),
        ("system", {"text": "You missed a video call from Zoë.", "call_duration": 0}),
        ("system", {"text": "Zoë unsent a message."}),
        ("system", {"text": "hello", "is_unsent": True}),
        ("system", {"text": "Zoë named the group Lake."}),
        ("system", {"text": "You can now message and call each other and see info like Active Status."}),
        ("text", {"text": "I sent a link to Bo. You saw it?"}),
        ("text", {"text": "Look at https://example.org", "share": {"link": "https://example.org"}}),
        ("text", {"text": "You are right."}),
        ("text", {"text": "the call was long."}),
    ],
)
def test_what_is_no_text_of_a_person_is_left_out(reader: Any, kind: str, fields: dict[str, Any]) -> None:
    content = export(message(1, "Zoë", "a"), message(2, "Bo", "b"), message(3, "Zoë", **fields), message(4, "Bo", "c"))
    made = reader(content, me="Bo")
    [conversation] = made
    assert len(conversation.turns) == (4 if kind == "text" else 2)
    assert dict(+made.report.skipped_messages) == ({} if kind == "text" else {f"{kind} message": 1})


def test_the_numbered_files_of_a_folder_are_one_chat(tmp_path: Path) -> None:
    chat = tmp_path / "inbox" / "zoe_1"
    chat.mkdir(parents=True)
    for number in range(1, 12):
        first = 20 * (12 - number)
        messages = [message(first + minute, ("Zoë", "Bo")[minute % 2], f"{first + minute}") for minute in range(20)]
        (chat / f"message_{number}.json").write_text(export(*messages))
    made = ConversationReader(tmp_path / "inbox", me="Bo")
    [conversation] = made
    assert conversation.turns == tuple(str(minute) for minute in range(20, 240))
    (tmp_path / "inbox" / "autofill_information.json").write_text('{"autofill_information_v2": {"EMAIL": ["x"]}}')
    other = tmp_path / "inbox" / "cy_2"
    other.mkdir()
    (other / "message_1.json").write_text(export(message(1, "Cy", "a"), message(2, "Bo", "b")))
    assert [each.turns[:2] for each in ConversationReader(tmp_path / "inbox", me="Bo")] == [("a", "b"), ("20", "21")]


def test_the_first_export_of_instagram_is_read(reader: Any) -> None:
    said = [("bo", "2019-05-01T10:01:00+00:00", "Schön"), ("zoe", "2019-05-01T10:00:00+00:00", "Hallo")]
    chats = [
        {
            "participants": ["zoe", "bo"],
            "conversation": [{"sender": sender, "created_at": time, "text": text} for sender, time, text in said]
            + [{"sender": "zoe", "created_at": "2019-05-01T09:59:00+00:00", "likes": []}],
        }
    ]
    made = reader(json.dumps([*chats, *chats]), me="bo")
    assert made.format == "messenger"
    assert [(each.turns, each.meta) for each in made] == [(("Hallo", "Schön"), {"time": "2019-05-01T10:00:00"})] * 2


def test_the_export_of_encrypted_chats_is_read(reader: Any) -> None:
    messages = [
        {"isUnsent": False, "senderName": "Bo", "text": "Schön", "timestamp": 1714557660000, "type": "text"},
        {"isUnsent": True, "senderName": "Zoë", "text": "x", "timestamp": 1714557600001, "type": "placeholder"},
        {"isUnsent": False, "senderName": "Zoë", "text": "", "timestamp": 1714557600001, "media": [{"uri": "x"}]},
        {"isUnsent": False, "senderName": "Zoë", "text": "Hallo", "timestamp": 1714557600000, "reactions": []},
    ]
    made = reader(json.dumps({"participants": ["Bo", "Zoë"], "threadName": "Zoë_3", "messages": messages}), me="Bo")
    assert made.format == "messenger"
    assert [each.turns for each in made] == [("Hallo", "Schön")]


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        *(("Ida pinned a message.", False), ("Ida hat die Gruppe verlassen.", False), ("Audio call ended", False)),
        *(("Ida sent you a GIF.", False), ("Ida enviou uma foto.", False), ("I called you.", True)),
        *(("Bo called me yesterday.", True), ("I left the group.", True), ("She changed the photo.", True)),
    ],
)
def test_remarks_are_told_from_sentences(reader: Any, text: str, is_kept: bool) -> None:
    said = [("Ida", text, 2), ("Ida", "Hello", 1)]
    messages = [{"sender_name": sender, "timestamp_ms": time, "content": each} for sender, each, time in said]
    messages.insert(0, {"sender_name": "Bo", "timestamp_ms": 3, "content": "Hi"})
    [made] = reader(json.dumps({"participants": [], "messages": messages, "thread_path": "x"}), me="Bo")
    assert made.turns == ((f"Hello\n{text}" if is_kept else "Hello"), "Hi")
