"""Objects that hold transcripts, pairs and intents, whole exports with everything beside the messages, and odd tables."""

# ruff: noqa: E501 - the inputs are lines of files

from pathlib import Path
from typing import Any

from tests.data.collected.test_chats import meta_chat, meta_message, telegram, telegram_chat
from tests.data.collected.test_files import zipped
from tests.data.collected.trial import Files, Trial, check, parametrize

AB = [("a", "b")]
CD = ("c", "d")
ABCD = [("a", "b", "c", "d")]
ME: dict[str, Any] = {"me": "Bo"}
CHAT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]

OBJECTS = [
    Trial(
        "firefly",
        {
            "conversation_id": 1,
            "category": "x",
            "conversation": [{"human": "a", "assistant": "b"}, {"human": "c", "assistant": "d"}],
        },
        ABCD,
    ),
    Trial("pairs of turns", {"turns": [{"user": "a", "assistant": "b"}, {"user": "c", "assistant": "d"}]}, ABCD),
    Trial("roles as keys", {"messages": [{"system": "p"}, {"user": "a"}, {"assistant": "b"}]}, AB, persona=["p"]),
    Trial("roles as keys in a list", [[{"user": "a"}, {"bot": "b"}], [{"user": "c"}, {"bot": "d"}]], [*AB, CD]),
    Trial("samsum", {"id": "1", "dialogue": "Amanda: a\r\nJerry: b\r\nJerry: c", "summary": "s"}, [("a", "b\nc")]),
    Trial("dialogsum", {"fname": "1", "dialogue": "#Person1#: a\n#Person2#: b", "summary": "s", "topic": "t"}, AB),
    Trial("transcript of one line", {"id": "1", "dialogue": "nobody speaks", "summary": "s"}, error="no turns"),
    Trial(
        "samsum table",
        'id,dialogue,summary\n1,"Amanda: a\nJerry: b",s\n',
        AB,
        options={"columns": "turns=dialogue"},
        file="train.csv",
    ),
    Trial(
        "samsum table without names",
        'id,dialogue,summary\n1,"Amanda: a\nJerry: b",s\n',
        error="the columns are 'id', 'dialogue', 'summary'",
        file="train.csv",
    ),
    Trial(
        "intents",
        {
            "intents": [
                {"tag": "greeting", "patterns": ["a", "c"], "responses": ["b", "d"]},
                {"tag": "bye", "patterns": ["e"], "responses": ["f", "g"]},
            ]
        },
        [*AB, CD, ("e", "f")],
    ),
    Trial(
        "intents without responses", {"intents": [{"tag": "x", "patterns": ["a"], "responses": []}]}, error="responses"
    ),
    Trial("pandas by rows", {"0": {"question": "a", "answer": "b"}, "1": {"question": "c", "answer": "d"}}, [*AB, CD]),
    Trial(
        "pandas split",
        {"columns": ["question", "answer"], "index": [0, 1], "data": [["a", "b"], ["c", "d"]]},
        [*AB, CD],
    ),
    Trial(
        "pandas split in another order",
        {"columns": ["answer", "question"], "data": [["b", "a"], ["d", "c"]]},
        [*AB, CD],
    ),
    Trial(
        "authors beside dialogs",
        {"metadata": {"authors": ["x", "y"]}, "dialogs": [{"turns": ["a", "b"]}]},
        AB,
        summary="1 other value left out",
    ),
    Trial(
        "pages of rows",
        {
            "features": [{"feature_idx": 0, "name": "question", "type": {"dtype": "string", "_type": "Value"}}],
            "rows": [{"row_idx": 0, "row": {"question": "a", "answer": "b"}, "truncated_cells": []}],
            "num_rows_total": 1,
        },
        AB,
        summary="1 other value left out",
    ),
    Trial("splits of lists", {"train": [["a", "b"]], "valid": [["c", "d"]]}, [*AB, CD]),
    Trial(
        "a bad split is told",
        {"train": [{"turns": ["a", "b"]}], "valid": [{"turns": ["c"]}]},
        AB,
        error="only one turn",
        skipped=1,
    ),
    Trial(
        "office document",
        zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<x/>"}),
        error="a document of an office program",
        file="a.odt",
    ),
    Trial("no messages", '{"messages": []}\n{"messages": []}\n', error="there are no turns"),
    Trial("only a system message", {"messages": [{"role": "system", "content": "p"}]}, error="there are no turns"),
    Trial("only the user", {"messages": [CHAT[0]]}, error="there is only one turn"),
    Trial(
        "text as an object",
        {"messages": [{"role": "user", "content": {"text": "a"}}, CHAT[1]]},
        error="its content is an object",
    ),
    Trial("developer", {"messages": [{"role": "developer", "content": "p"}, *CHAT]}, AB, persona=["p"]),
    Trial("persona of a string", {"persona": "p", "messages": CHAT}, error="persona"),
    Trial(
        "batch of requests",
        '{"custom_id": "1", "method": "POST", "body": {"messages": []}}\n',
        error="(the value is the string '1'|no turns)",
        file="a.jsonl",
    ),
]

EXPORTS = [
    Trial(
        "instagram account",
        Files(
            {
                "your_instagram_activity/messages/inbox/ida_1/message_1.json": meta_chat(
                    meta_message(2, "Bo", "b"), meta_message(1, "Ida", "a")
                ),
                "your_instagram_activity/likes/liked_posts.json": {
                    "likes_media_likes": [
                        {"title": "x", "string_list_data": [{"href": "u", "value": "y", "timestamp": 1}]}
                    ]
                },
                "connections/followers_1.json": [
                    {
                        "title": "",
                        "media_list_data": [],
                        "string_list_data": [{"href": "u", "value": "y", "timestamp": 1}],
                    }
                ],
                "media/1.jpg": b"\xff\xd8\xff",
            }
        ),
        AB,
        options=ME,
        summary="3 other files left out",
    ),
    Trial(
        "telegram with media",
        Files(
            {
                "result.json": telegram_chat(telegram(1, "Ida", "a"), telegram(2, "Bo", "b")),
                "photos/1.jpg": b"\xff\xd8\xff",
                "voice/1.ogg": b"OggS",
            }
        ),
        AB,
        options=ME,
        summary="2 other files left out: first",
    ),
    Trial(
        "multiwoz archive",
        zipped(
            {
                "MULTIWOZ2.1/data.json": {
                    "SNG1.json": {"goal": {}, "log": [{"text": "a", "metadata": {}}, {"text": "b", "metadata": {}}]}
                },
                "MULTIWOZ2.1/ontology.json": {"hotel-area": ["centre", "east"], "taxi-leave": ["1", "2"]},
                "MULTIWOZ2.1/valListFile.txt": "SNG1.json\nSNG2.json\n",
                "MULTIWOZ2.1/restaurant_db.json": [{"name": "x", "address": "y", "phone": "1"}],
                "MULTIWOZ2.1/README.json": {"x": "y"},
            }
        ),
        AB,
        file="MULTIWOZ2.1.zip",
        summary="4 other files left out",
    ),
    Trial(
        "whatsapp archive",
        zipped(
            {
                "_chat.txt": "[01.05.24, 10:00:00] Ida: a\r\n[01.05.24, 10:01:00] Bo: b\r\n",
                "00000001-PHOTO.jpg": b"\xff\xd8\xff",
                "2.opus": b"OggS",
            }
        ),
        AB,
        file="WhatsApp Chat - Ida.zip",
        options=ME,
        summary="2 other files left out",
    ),
    Trial(
        "dataset folder",
        Files(
            {
                "train.jsonl": '["a", "b"]\n',
                "test.jsonl": '["c", "d"]\n',
                "README.md": "# x",
                "dataset_info.json": {"features": {"turns": ["x"]}},
                ".gitattributes": "x",
            }
        ),
        [("c", "d"), *AB],
        summary="2 other files left out",
    ),
    Trial(
        "two formats in a folder",
        Files({"a.csv": "context,response\na,b\n", "b.jsonl": '["c", "d"]\n'}),
        [*AB, CD],
        summary="and JSON Lines",
    ),
    Trial(
        "columns in a folder",
        Files({"a.csv": "Frage,Antwort\na,b\n", "b.csv": "x,y\n1,2\n"}),
        AB,
        options={"columns": "context=Frage,response=Antwort"},
        summary="1 other file left out: first .*b.csv:1: ",
    ),
]

TABLES = [
    Trial("mark and quoted names", '\ufeff"context","response"\r\n"a","b"\r\n', AB),
    Trial("quotes inside", 'context\tresponse\nsay "hi"\tb\n', [('say "hi"', "b")]),
    Trial("spaces in names", "Context , Response\na,b\n", AB),
    Trial("empty cells at the end", "context,response,,\na,b,,\n", AB),
    Trial(
        "row of too many cells",
        "context,response\na,b\na,b,c\n",
        AB,
        error=":3: the row has 3 columns, the header 2",
        skipped=1,
    ),
    Trial("blank lines first", "\n\n\ncontext,response\na,b\n", AB),
    Trial("no header", "a,b\nc,d\n", error="the columns are 'a', 'b'", file="a.csv"),
    Trial("only a header", "context,response\n", error="there are no conversations in it", file="a.csv"),
    Trial("numbers as speakers", "dialogue_id,speaker,text\n1,0,a\n1,1,b\n2,0,c\n2,1,d\n", [*AB, CD]),
    Trial("ids in the first rows", "dialogue_id,speaker,text\n1,A,a\n,B,b\n2,A,c\n,B,d\n", [*AB, CD]),
    Trial("empty utterances", "dialogue_id,speaker,text\n1,A,a\n1,B,\n1,B,b\n", AB),
    Trial("null cells", "question,answer\na,\nc,d\n", [CD], error=":2: turn 2 is empty", skipped=1),
]


@parametrize([*OBJECTS, *EXPORTS, *TABLES])
def test_more(trial: Trial, tmp_path: Path) -> None:
    check(trial, tmp_path)
