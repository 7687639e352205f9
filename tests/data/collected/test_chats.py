"""People's own chats: exports of messengers and of assistants as they are found."""

# ruff: noqa: E501 - the inputs are lines of files

from pathlib import Path
from typing import Any

from tests.data.collected.trial import Files, Trial, check, parametrize

AB = [("a", "b")]
CD = ("c", "d")
ME: dict[str, Any] = {"me": "Bo"}


def telegram(number: int, sender: str | None, text: Any, **more: Any) -> dict[str, Any]:
    date = f"2024-05-01T10:{number:02}:00"
    return {"id": number, "type": "message", "date": date, "from": sender, "from_id": "user1", "text": text, **more}


def telegram_chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"name": "Ida", "type": "personal_chat", "id": 5, "messages": list(messages)}


TELEGRAM = [
    Trial(
        "telegram bad date",
        telegram_chat(telegram(1, "Ida", "a"), telegram(2, "Bo", "b"), telegram(3, "Ida", "x", date="soon")),
        AB,
        options=ME,
        error=r":1: the time 'soon' cannot be read; ",
        skipped=1,
    ),
    Trial(
        "telegram bad date stops",
        telegram_chat(telegram(1, "Ida", "a", date="2024-13-45T10:00:00")),
        error="the time '2024-13-45T10:00:00'",
        options=ME,
    ),
    Trial(
        "telegram second date",
        telegram_chat(telegram(1, "Ida", "a", date="", date_unixtime="1714557600"), telegram(2, "Bo", "b")),
        AB,
        options=ME,
    ),
    Trial(
        "telegram bad date of a remark",
        telegram_chat(telegram(1, "Ida", "a"), telegram(2, "Bo", "b"), telegram(3, None, "", type="service", date="x")),
        AB,
        options=ME,
        skipped=1,
    ),
    Trial(
        "telegram poll and contact",
        telegram_chat(
            telegram(1, "Ida", "a"),
            telegram(2, "Ida", "", poll={"question": "q"}),
            telegram(3, "Ida", "", contact_information={}),
            telegram(4, "Bo", "b"),
        ),
        AB,
        options=ME,
        summary="2 media messages left out",
    ),
    Trial(
        "telegram deleted account",
        telegram_chat(telegram(1, None, "a"), telegram(2, "Bo", "b", from_id="user2")),
        AB,
        options=ME,
    ),
    Trial(
        "telegram entities alone",
        telegram_chat(
            telegram(1, "Ida", None, text_entities=[{"type": "plain", "text": "a"}]),
            telegram(2, "Bo", ["", {"type": "custom_emoji", "text": "b"}]),
        ),
        AB,
        options=ME,
    ),
]


def discord(number: int, sender: str, text: str, **more: Any) -> dict[str, Any]:
    author: dict[str, Any] = {
        "id": sender.lower(),
        "name": sender.lower(),
        "discriminator": "0000",
        "nickname": sender,
        "color": None,
        "isBot": False,
        "roles": [],
    }
    return {
        **{
            "id": str(number),
            "type": "Default",
            "timestamp": f"2024-05-01T10:{number:02}:00.123+00:00",
            "timestampEdited": None,
        },
        **{
            "callEndedTimestamp": None,
            "isPinned": False,
            "content": text,
            "author": author,
            "attachments": [],
            "embeds": [],
        },
        **{"stickers": [], "reactions": [], "mentions": [], "inlineEmojis": [], **more},
    }


def discord_channel(*messages: dict[str, Any]) -> dict[str, Any]:
    channel = {"id": "1", "type": "GuildTextChat", "categoryId": "2", "category": "x", "name": "general", "topic": None}
    return {
        "guild": {"id": "0", "name": "Lake"},
        "channel": channel,
        "dateRange": {},
        "exportedAt": "x",
        "messages": list(messages),
        "messageCount": 1,
    }


DISCORD_CSV = "AuthorID,Author,Date,Content,Attachments,Reactions\n"

DISCORD = [
    Trial(
        "discord",
        discord_channel(discord(1, "Ida", "a"), discord(2, "Bo", "b", type="Reply", reference={"messageId": "1"})),
        AB,
        options=ME,
    ),
    Trial(
        "discord of all kinds",
        discord_channel(
            discord(1, "Ida", "a"),
            discord(2, "Ida", "", stickers=[{"name": "Wave"}]),
            discord(3, "Ida", "pinned a message", type="ChannelPinnedMessage"),
            discord(4, "Ida", "started a thread", type="ThreadCreated"),
            discord(5, "Bo", "b"),
        ),
        AB,
        options=ME,
        summary="1 media message, 2 system messages",
    ),
    Trial(
        "discord bad date",
        discord_channel(discord(1, "Ida", "a"), discord(2, "Bo", "b"), discord(3, "Bo", "x", timestamp="yesterday")),
        AB,
        options=ME,
        error="the time 'yesterday' cannot be read",
        skipped=1,
    ),
    Trial(
        "discord csv",
        DISCORD_CSV + "1,Ida#1,2024-05-01T10:00:00.0000000+00:00,a,,\n2,bo,2024-05-01T10:01:00.0000000+00:00,b,,\n",
        AB,
        options=ME,
    ),
    Trial(
        "discord csv bad date",
        DISCORD_CSV + "1,Ida#1,01-May-24 10:00 AM,a,,\n2,bo,01-May-24 10:01 AM,b,,\n2,bo,99-May-24 10:01 AM,x,,\n",
        AB,
        options=ME,
        error=":4: the time '99-May-24 10:01 AM'",
        skipped=1,
    ),
    Trial(
        "discord csv of australia",
        DISCORD_CSV
        + "1,Ida,13/05/2024 10:00 AM,a,,\n2,bo,13/05/2024 10:01 AM,b,,\n1,Ida,1/06/2024 10:00 AM,c,,\n2,bo,1/06/2024 10:01 AM,d,,\n",
        [*AB, CD],
        options=ME,
    ),
    Trial(
        "discord csv of china", DISCORD_CSV + "1,Ida,2024/5/13 10:00,a,,\n2,bo,2024/5/13 10:01,b,,\n", AB, options=ME
    ),
]


def slack(number: int, user: str, text: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "user": user, "text": text, "ts": f"17145576{number:02}.000100", **more}


USERS = [
    {"id": "U1", "team_id": "T", "name": "ida", "profile": {"display_name": "Ida"}},
    {"id": "U2", "team_id": "T", "name": "bo", "profile": {"display_name": "Bo"}},
]

SLACK = [
    Trial(
        "slack threads, bots and huddles",
        Files(
            {
                "users.json": USERS,
                "channels.json": [{"id": "C1", "name": "general", "members": ["U1", "U2"]}],
                "general/2024-05-01.json": [
                    slack(1, "U1", "a"),
                    slack(
                        2,
                        "U1",
                        "q",
                        thread_ts="1714557602.000100",
                        reply_count=1,
                        replies=[{"user": "U2", "ts": "1714557605.000100"}],
                    ),
                    slack(3, "U1", "has joined", subtype="channel_join"),
                    slack(4, "U2", "b"),
                    slack(5, "U2", "answer", thread_ts="1714557602.000100", parent_user_id="U1"),
                    slack(6, "U1", "A huddle started", subtype="huddle_thread"),
                    slack(7, "B1", "deployed", bot_id="B1"),
                    slack(8, "USLACKBOT", "Reminder"),
                ],
            }
        ),
        [("a", "b"), ("q", "answer")],
        options=ME,
        summary="2 messages of a bot, 2 system messages|2 system messages",
    ),
    Trial(
        "slack bad ts",
        [slack(1, "U1", "a"), slack(2, "U2", "b"), slack(3, "U1", "x", ts="soon")],
        AB,
        options={"me": "U2"},
        error=":1: the time 'soon'",
        skipped=1,
    ),
    Trial(
        "slack with a readme",
        Files(
            {
                "export/general/2024-05-01.json": [slack(1, "U1", "a"), slack(2, "U2", "b")],
                "export/README.txt": "An export.",
            }
        ),
        AB,
        options={"me": "U2"},
        summary="1 other file left out",
    ),
    Trial(
        "slack tombstone",
        [
            slack(1, "U1", "a"),
            slack(2, "U1", "This message was deleted.", subtype="tombstone"),
            slack(3, "U2", "b", edited={"user": "U2"}),
        ],
        AB,
        options={"me": "U2"},
    ),
]


def meta_message(number: int, sender: str, text: str, **more: Any) -> dict[str, Any]:
    return {"sender_name": sender, "timestamp_ms": 1714557600000 + number * 60_000, "content": text, **more}


def meta_chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "participants": [{"name": "Ida"}, {"name": "Bo"}],
        "messages": list(messages),
        "title": "Ida",
        "thread_path": "inbox/ida_1",
    }


MESSENGER = [
    Trial(
        "messenger in parts",
        Files(
            {
                "inbox/ida_1/message_1.json": meta_chat(meta_message(4, "Bo", "d"), meta_message(3, "Ida", "c")),
                "inbox/ida_1/message_2.json": meta_chat(meta_message(2, "Bo", "b"), meta_message(1, "Ida", "a")),
                "inbox/ida_1/photos/1.jpg": b"\xff\xd8\xff\xe0",
            }
        ),
        [("a", "b", "c", "d")],
        options=ME,
        summary="1 other file left out",
    ),
    Trial(
        "messenger bad time",
        meta_chat(
            meta_message(3, "Bo", "x", timestamp_ms="never"), meta_message(2, "Bo", "b"), meta_message(1, "Ida", "a")
        ),
        AB,
        options=ME,
        error="the time 'never'",
        skipped=1,
    ),
    Trial(
        "messenger encrypted",
        {
            "participants": ["Ida", "Bo"],
            "threadName": "x",
            "messages": [
                {
                    "isUnsent": False,
                    "media": [],
                    "reactions": [],
                    "senderName": "Bo",
                    "text": "b",
                    "timestamp": 1714557660000,
                    "type": "text",
                },
                {
                    "isUnsent": False,
                    "media": [],
                    "senderName": "Ida",
                    "text": "a",
                    "timestamp": 1714557600000,
                    "type": "text",
                },
            ],
        },
        AB,
        options=ME,
    ),
    Trial(
        "instagram",
        meta_chat(
            meta_message(3, "Bo", "b"),
            meta_message(2, "Ida", "Ida sent an attachment.", share={"link": "x"}),
            meta_message(1, "Ida", "a \u00e2\u009d\u00a4"),
        ),
        [("a ❤", "b")],
        options=ME,
        summary="1 media message",
    ),
]


def tree(*messages: tuple[str, str | None, dict[str, Any]], leaf: str) -> list[Any]:
    nodes: dict[str, Any] = {
        key: {"id": key, "parent": parent, "children": [], "message": message} for key, parent, message in messages
    }
    return [{"title": "t", "create_time": 1714557600.5, "mapping": nodes, "current_node": leaf}]


def gpt(role: str, *parts: Any, kind: str = "text", **more: Any) -> dict[str, Any]:
    return {"author": {"role": role}, "content": {"content_type": kind, "parts": list(parts)}, **more}


ASSISTANTS = [
    Trial(
        "chatgpt branches, pictures, canvas and voice",
        tree(
            (
                "1",
                None,
                gpt("user", {"content_type": "image_asset_pointer", "asset_pointer": "x"}, "a", kind="multimodal_text"),
            ),
            ("2", "1", gpt("assistant", "old")),
            ("3", "1", gpt("assistant", "{}", recipient="canmore.create_textdoc")),
            ("4", "3", gpt("tool", "made")),
            ("5", "4", gpt("assistant", "b")),
            (
                "6",
                "5",
                gpt(
                    "user",
                    {"content_type": "audio_transcription", "text": "c"},
                    {"content_type": "audio_asset_pointer"},
                    kind="multimodal_text",
                ),
            ),
            ("7", "6", {"author": {"role": "assistant"}, "content": {"content_type": "thoughts", "thoughts": []}}),
            ("8", "7", gpt("assistant", "d")),
            leaf="8",
        ),
        [("a", "b", "c", "d")],
        summary="1 message of another branch.*2 tool messages",
    ),
    Trial(
        "chatgpt bad time",
        [
            {
                **tree(("1", None, gpt("user", "a")), ("2", "1", gpt("assistant", "b")), leaf="2")[0],
                "create_time": "soon",
            }
        ],
        error="the time 'soon'",
    ),
    Trial(
        "deepseek",
        tree(
            ("root", None, {}),
            (
                "1",
                "root",
                {
                    "inserted_at": "2025-01-01T10:00:00+08:00",
                    "model": "deepseek-chat",
                    "fragments": [{"type": "REQUEST", "content": "a"}],
                },
            ),
            (
                "2",
                "1",
                {
                    "inserted_at": "2025-01-01T10:00:00+08:00",
                    "fragments": [{"type": "THINK", "content": "hm"}, {"type": "RESPONSE", "content": "b"}],
                },
            ),
            leaf="2",
        ),
        AB,
    ),
    Trial(
        "claude",
        [
            {
                "uuid": "1",
                "name": "t",
                "created_at": "2024-05-01T10:00:00.000000Z",
                "chat_messages": [
                    {
                        "uuid": "2",
                        "sender": "human",
                        "text": "a",
                        "attachments": [{"file_name": "x.txt", "extracted_content": "long"}],
                        "files": [],
                    },
                    {
                        "uuid": "3",
                        "sender": "assistant",
                        "text": "",
                        "content": [
                            {"type": "thinking", "thinking": "hm"},
                            {"type": "tool_use", "name": "f"},
                            {"type": "text", "text": "b"},
                        ],
                    },
                    {"uuid": "4", "sender": "human", "text": "", "attachments": [{"file_name": "y.txt"}]},
                    {"uuid": "5", "sender": "assistant", "text": "about y"},
                ],
            }
        ],
        AB,
        summary="1 tool message",
    ),
    Trial(
        "claude with users",
        Files(
            {
                "conversations.json": [
                    {
                        "uuid": "1",
                        "name": "",
                        "created_at": "2024-05-01T10:00:00Z",
                        "chat_messages": [{"sender": "human", "text": "a"}, {"sender": "assistant", "text": "b"}],
                    }
                ],
                "users.json": [{"uuid": "9", "full_name": "Ida", "email_address": "x"}],
                "projects.json": [{"uuid": "p", "name": "n", "docs": []}],
            }
        ),
        AB,
    ),
]

SIGNAL = [
    Trial(
        "signal row bad time",
        [
            {"conversationId": "1", "type": "incoming", "sent_at": 1714557600000, "body": "a", "source": "+1"},
            {"conversationId": "1", "type": "outgoing", "sent_at": 1714557660000, "body": "b"},
            {"conversationId": "1", "type": "outgoing", "sent_at": "x", "body": "c"},
        ],
        AB,
        options={"me": "Me"},
        error="the time 'x'",
        skipped=1,
    ),
    Trial(
        "signal export bad time",
        '{"date": "2024-05-01T10:00:00", "sender": "Ida", "body": "a", "reactions": []}\n{"date": "2024-05-01T10:01:00", "sender": "Me", "body": "b", "reactions": []}\n{"date": "2024-05-41", "sender": "Me", "body": "x", "reactions": []}\n',
        AB,
        options={"me": "Me"},
        error=":3: the time '2024-05-41'",
        skipped=1,
    ),
    Trial(
        "signal text bad time",
        "[2024-05-01 10:00] Ida: a\nmore\n[2024-05-01 10:01] Me: b\n[2024-15-01 10:01] Me: x\ny\nz\n",
        [("a\nmore", "b")],
        options={"me": "Me"},
        error=":4: the time '2024-15-01 10:01'",
        skipped=1,
        file="chat.md",
    ),
    Trial(
        "sigtop bad time",
        "Conversation: Ida\n\nFrom: Ida (+1)\nType: incoming\nSent: Wed, 01 May 2024 10:00:00 +0000\n\na\n\nFrom: You\nType: outgoing\nSent: Wed, 01 May 2024 10:01:00 +0000\n\nb\n\nFrom: You\nType: outgoing\nSent: Wed, 99 May 2024\n\nx\n",
        AB,
        options={"me": "You"},
        error=":15: the time 'Wed, 99 May 2024'",
        skipped=1,
    ),
    Trial(
        "signalbackup-tools",
        "[May 01, 2024 10:00:00] *** You created the group.\n"
        "[May 01, 2024 10:00:05] <Ida> a: note (Bo: ❤️; Cy: 👍)\n"
        '[May 01, 2024 10:00:09] *** <Ida> sent file "x.jpg"\n'
        "[May 01, 2024 10:01:00] <Bo> b\nmore\n",
        [("a: note", "b\nmore")],
        options=ME,
        summary="1 media message, 1 system message",
    ),
]

APPLE = [
    Trial(
        "imessage bad date",
        "May 17, 2022  5:29:42 PM\nIda\na\n\nMay 17, 2022  5:31:00 PM\nBo\nb\n\nFeb 30, 2022  5:31:00 PM\nBo\nx\n\n",
        AB,
        options=ME,
        error=":9: the time 'Feb 30, 2022  5:31:00 PM'",
        skipped=1,
    ),
    Trial(
        "imessage group with a reply",
        "May 17, 2022  5:29:42 PM (Read by you after 2 seconds)\nIda\na\n    May 17, 2022  5:31:00 PM\n    Bo\n    b\n\nMay 17, 2022  5:31:00 PM\nBo\nb\nThis message responded to an earlier message.\n\n",
        AB,
        options=ME,
    ),
]


@parametrize([*TELEGRAM, *DISCORD, *SLACK, *MESSENGER, *ASSISTANTS, *SIGNAL, *APPLE])
def test_chats(trial: Trial, tmp_path: Path) -> None:
    check(trial, tmp_path)
