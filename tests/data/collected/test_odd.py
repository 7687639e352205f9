"""Exports of other programs, which are told, and odd forms of those that are read."""

# ruff: noqa: E501 - the inputs are lines of files

from pathlib import Path
from typing import Any

from tests.data.collected.test_chats import (
    discord,
    discord_channel,
    meta_chat,
    meta_message,
    slack,
    telegram,
    telegram_chat,
)
from tests.data.collected.test_texts import srt, whatsapp
from tests.data.collected.trial import Files, Trial, check, parametrize

AB = [("a", "b")]
ME: dict[str, Any] = {"me": "Bo"}

OTHER_PROGRAMS = [
    Trial(
        "line",
        "[LINE] Chat history with Ida\nSaved on: 2024/05/01 10:00\n\n2024/05/01(Wed)\n10:00\tIda\ta\n10:01\tBo\tb\n",
        error="format cannot be recognised",
        file="line.txt",
    ),
    Trial(
        "kakaotalk",
        "Ida 님과 카카오톡 대화\n저장한 날짜 : 2024-05-01 10:00:00\n\n--------------- 2024년 5월 1일 수요일 ---------------\n[Ida] [오전 10:00] a\n[Bo] [오전 10:01] b\n",
        error="format cannot be recognised",
        file="kakao.txt",
    ),
    Trial(
        "skype",
        {
            "userId": "8:x",
            "exportDate": "2024-05-01",
            "conversations": [
                {
                    "id": "8:y",
                    "displayName": "Ida",
                    "MessageList": [
                        {
                            "id": "1",
                            "originalarrivaltime": "2024-05-01T10:00:00Z",
                            "content": "a",
                            "from": "8:y",
                            "conversationid": "8:y",
                        }
                    ],
                }
            ],
        },
        error="(no turns|no role)",
    ),
    Trial(
        "google chat",
        {
            "messages": [
                {"creator": {"name": name}, "created_date": "x", "text": text}
                for name, text in (("Ida", "a"), ("Ida", "x"), ("Bo", "b"))
            ]
        },
        [("a\nx", "b")],
    ),
    Trial(
        "twitter",
        'window.YTD.direct_messages.part0 = [ {\n "dmConversation" : { } } ]\n',
        error="format cannot be recognised",
        file="direct-messages.js",
    ),
    Trial(
        "discord's own",
        '[{"ID": 1, "Timestamp": "2024-05-01 10:00:00", "Contents": "a", "Attachments": ""}]',
        error="(no turns|no role)",
        file="messages.json",
    ),
    Trial(
        "jupyter",
        {"cells": [{"cell_type": "markdown", "source": ["a", "b"]}], "nbformat": 4},
        error="no turns",
        file="a.ipynb",
    ),
    Trial("settings", "name: x\nport: 80\nhost: y\n", error="there are no conversations in it", file="a.yml"),
    Trial(
        "settings in a folder",
        Files({"a.yml": "name: x\nport: 80\nhost: y\n", "b.jsonl": '["a", "b"]\n'}),
        AB,
        summary="1 other file left out: first .*a.yml:1: there is no key 'conversations'",
    ),
    Trial("python list", "[['a', 'b'], ['c', 'd']]\n", error="looks like Python", file="a.json"),
    Trial("python lines", "{'turns': ['a', 'b']}\n{'turns': ['c', 'd']}\n", error="looks like Python", file="a.jsonl"),
    Trial("javascript", 'const data = [\n  ["a", "b"],\n];\n', error="(not JSON|cannot be recognised)", file="a.js"),
]

ODD = [
    Trial(
        "whatsapp empty message",
        "13/05/2024, 10:00 - Ida: a\n13/05/2024, 10:01 - Ida: \n13/05/2024, 10:02 - Bo: b\n",
        AB,
        options=ME,
        summary="1 media message left out",
    ),
    Trial(
        "whatsapp phone numbers",
        whatsapp("13/05/2024, 10:00 - ", "13/05/2024, 10:01 - ").replace(
            "Bo:", "\u202a+49\u00a0170\u00a01234567\u202c:"
        ),
        AB,
        options={"me": "+491701234567"},
    ),
    Trial(
        "whatsapp emoji names",
        whatsapp("13/05/2024, 10:00 - ", "13/05/2024, 10:01 - ").replace("Ida:", "Ida 🌻 (Work):"),
        AB,
        options=ME,
    ),
    Trial(
        "whatsapp list in a message",
        "[01.05.24, 10:00:00] Ida: a\r\n[1] first\r\n[01.05.24, 10:01:00] Bo: b\r\n",
        [("a\n[1] first", "b")],
        options=ME,
    ),
    Trial(
        "whatsapp in utf-16",
        whatsapp("13/05/2024, 10:00 - ", "13/05/2024, 10:01 - ").encode("utf-16"),
        AB,
        options=ME,
        summary="UTF-16-LE",
    ),
    Trial(
        "whatsapp me of nobody",
        whatsapp("13/05/2024, 10:00 - ", "13/05/2024, 10:01 - "),
        error="nobody in it is called 'Cy'.*there are Ida",
        options={"me": "Cy"},
    ),
    Trial(
        "telegram topics",
        telegram_chat(
            telegram(1, None, "", type="service", action="topic_created"),
            telegram(2, "Ida", "a", reply_to_message_id=1),
            telegram(3, "Bo", "b"),
        ),
        AB,
        options=ME,
    ),
    Trial(
        "telegram two chats",
        {
            "about": "Here is the data you requested. Telegram",
            "chats": {
                "list": [
                    telegram_chat(telegram(1, "Ida", "a"), telegram(2, "Bo", "b")),
                    telegram_chat(telegram(1, "Cy", "c"), telegram(2, "Bo", "d")),
                ]
            },
        },
        [*AB, ("c", "d")],
        options=ME,
    ),
    Trial(
        "discord parts out of order",
        Files({"b.json": discord_channel(discord(1, "Ida", "a")), "a.json": discord_channel(discord(2, "Bo", "b"))}),
        AB,
        options=ME,
    ),
    Trial(
        "discord bot as me",
        discord_channel(discord(1, "Ida", "a"), discord(2, "Bo", "b", author={"id": "9", "name": "bo", "isBot": True})),
        AB,
        options=ME,
    ),
    Trial(
        "slack days out of order",
        Files({"g/2024-05-02.json": [slack(59, "U2", "b")], "g/2024-05-01.json": [slack(1, "U1", "a")]}),
        AB,
        options={"me": "U2"},
    ),
    Trial(
        "slack blocks alone",
        [
            slack(
                1,
                "U1",
                "",
                blocks=[
                    {
                        "type": "rich_text",
                        "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "a"}]}],
                    }
                ],
            ),
            slack(2, "U2", "b"),
        ],
        AB,
        options={"me": "U2"},
    ),
    Trial(
        "messenger overlap",
        Files(
            {
                "x/ida_1/message_1.json": meta_chat(meta_message(2, "Bo", "b"), meta_message(1, "Ida", "a")),
                "y/ida_1/message_1.json": meta_chat(meta_message(2, "Bo", "b"), meta_message(1, "Ida", "a")),
            }
        ),
        AB,
        options=ME,
        summary="repeated message",
    ),
    Trial(
        "messenger mojibake",
        meta_chat(meta_message(2, "Bo", "b"), meta_message(1, "J\u00c3\u00b6rg", "\u00f0\u009f\u0098\u0080")),
        [("😀", "b")],
        options=ME,
    ),
    Trial(
        "gap",
        whatsapp("13/05/2024, 10:00 - ", "13/05/2024, 10:01 - ")
        + whatsapp("13/05/2024, 20:00 - ", "13/05/2024, 20:01 - "),
        AB * 2,
        options=ME,
    ),
    Trial(
        "no gap",
        whatsapp("13/05/2024, 10:00 - ", "13/05/2024, 10:01 - ")
        + whatsapp("13/05/2024, 20:00 - ", "13/05/2024, 20:01 - "),
        [("a", "b", "a", "b")],
        options={**ME, "gap": "1d"},
    ),
    Trial(
        "srt sounds and songs",
        srt("Who?", "[door opens]", "♪ la la ♪", "Me. (laughs)"),
        [("Who?", "Me.")],
        summary="3 sound descriptions left out",
    ),
    Trial("srt continued", srt("I went to the", "market.", "Why?"), [("I went to the\nmarket.", "Why?")]),
    Trial(
        "srt pauses",
        srt("Who?", "Me.") + "3\n00:01:00,000 --> 00:01:01,000\nWhat?\n\n4\n00:01:01,000 --> 00:01:02,000\nThat.\n",
        [("Who?", "Me."), ("What?", "That.")],
    ),
    Trial("speakers with rules", "Ida: a\nBo: b\n---\nIda: c\nBo: d\n", [*AB, ("c", "d")]),
    Trial("speakers after the name", "Ida (10:00): a\nBo (10:01): b\nIda (10:02): c\n", [("a", "b", "c")]),
    Trial(
        "chat roles in text",
        "System: p\nUser: a\nAssistant: b\nUser: c\nAssistant: d\n",
        [("a", "b", "c", "d")],
        persona=["p"],
    ),
]


@parametrize([*OTHER_PROGRAMS, *ODD])
def test_odd(trial: Trial, tmp_path: Path) -> None:
    check(trial, tmp_path)
