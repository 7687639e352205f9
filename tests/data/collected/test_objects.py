"""JSON objects and tables in the shapes of research sets and of data for language models."""

# ruff: noqa: E501 - the inputs are lines of files

from pathlib import Path
from typing import Any

from tests.data.collected.trial import Trial, check, parametrize

AB = [("a", "b")]
CD = ("c", "d")


def said(role: str, text: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **more}


def share(role: str, text: Any, **more: Any) -> dict[str, Any]:
    return {"from": role, "value": text, **more}


CHAT = [said("user", "a"), said("assistant", "b")]
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

MESSAGES = [
    Trial(
        "sharegpt",
        {
            "id": "x",
            "conversations": [share("system", "p"), share("human", "a"), share("gpt", "b", weight=1.0)],
            "tools": "[]",
        },
        AB,
        persona=["p"],
    ),
    Trial(
        "observation",
        {
            "conversations": [
                share("human", "a"),
                share("function_call", "{}"),
                share("observation", "7"),
                share("gpt", "b"),
            ]
        },
        AB,
        summary="2 tool messages left out",
    ),
    Trial(
        "gpt first", {"conversations": [share("gpt", "z"), share("human", "a"), share("gpt", "b")]}, [("z", "a", "b")]
    ),
    Trial("roles in conversations", {"conversations": CHAT}, AB),
    Trial("older roles", {"conversations": [share("user", "a"), share("bing", "b")]}, AB),
    Trial(
        "system_prompt",
        {"system_prompt": "p", "conversations": [share("human", "a"), share("gpt", "b")]},
        AB,
        persona=["p"],
    ),
    Trial(
        "tool calls",
        {
            "messages": [
                said("user", "a"),
                said("assistant", None, tool_calls=[CALL]),
                said("tool", "7"),
                said("assistant", "b"),
            ]
        },
        AB,
        summary="2 tool messages left out",
    ),
    Trial(
        "null of a user",
        {"messages": [said("user", None), said("assistant", "b")]},
        error="message 1: its content is null",
    ),
    Trial("parts", {"messages": [said("user", [{"type": "text", "text": "a"}]), said("assistant", "b")]}, AB),
    Trial(
        "parts without types",
        {"system": [{"text": "p"}], "messages": [said("user", [{"text": "a"}]), said("assistant", [{"text": "b"}])]},
        AB,
        persona=["p"],
    ),
    Trial(
        "thinking",
        {
            "messages": [
                said("user", "a"),
                said("assistant", [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "b"}]),
            ]
        },
        AB,
    ),
    Trial(
        "picture",
        {"messages": [said("user", [{"type": "image_url", "image_url": {"url": "x"}}]), said("assistant", "b")]},
        error=r"message 1 has a part that is not text \('image_url'\)",
    ),
    Trial(
        "contents of parts",
        {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]},
        AB,
    ),
    Trial(
        "sender and text", {"messages": [{"sender": "human", "text": "a"}, {"sender": "assistant", "text": "b"}]}, AB
    ),
    Trial("conversations of messages", {"conversations": [{"messages": CHAT}, {"messages": CHAT}]}, AB * 2),
    Trial("conversations of lists", {"conversations": [["a", "b"], ["c", "d"]]}, [*AB, CD]),
    Trial("conversations of strings", {"conversations": ["a", "b"]}, AB),
    Trial(
        "messages as text",
        '{"messages": "[{\\"role\\": \\"user\\", \\"content\\": \\"a\\"}, {\\"role\\": \\"gpt\\", \\"content\\": \\"b\\"}]"}',
        AB,
    ),
    Trial("list of lists of messages", [CHAT, CHAT], AB * 2),
    Trial(
        "unknown role",
        {"messages": [said("narrator", "a"), said("assistant", "b")]},
        error="has the role 'narrator'; allowed are",
    ),
    Trial(
        "wildchat",
        {
            "conversation_id": "1",
            "model": "m",
            "conversation": [said("user", "a", language="English"), said("assistant", "b")],
            "turn": 1,
            "redacted": False,
        },
        AB,
    ),
    Trial(
        "arena",
        {"conversation_a": CHAT, "conversation_b": CHAT, "winner": "model_a"},
        error="(the value is the string 'model_a'|no turns)",
    ),
    Trial("ultrachat", {"prompt": "a", "prompt_id": "1", "messages": CHAT}, AB),
    Trial(
        "ultrachat of 2023",
        '{"id": "0", "data": ["a", "b", "c", "d"]}\n{"id": "1", "data": ["a", "b"]}\n',
        [("a", "b", "c", "d"), *AB],
    ),
    Trial("input of messages", {"input": [said("user", "a")], "output": [said("assistant", "b")]}, AB),
]

PAIRS = [
    Trial(
        "alpaca",
        [
            {"instruction": "a", "input": "", "output": "b", "text": "all"},
            {"instruction": "c", "input": None, "output": "d"},
        ],
        [*AB, CD],
    ),
    Trial("alpaca with input", {"instruction": "a", "input": "x", "output": "b"}, [("a\nx", "b")]),
    Trial(
        "null output",
        '{"instruction": "a", "input": "", "output": null}\n["a", "b"]',
        AB,
        error=":1: turn 2 is null",
        skipped=1,
    ),
    Trial(
        "history of pairs",
        {"instruction": "c", "input": "", "output": "d", "history": [["a", "b"]]},
        [("a", "b", "c", "d")],
    ),
    Trial("history of an empty list", {"instruction": "a", "output": "b", "history": []}, AB),
    Trial("history of turns", {"history": ["a", "b"], "prompt": "c", "response": "d"}, [("a", "b", "c", "d")]),
    Trial("history and response", {"history": ["a", "b", "c"], "response": "d"}, [("a", "b", "c", "d")]),
    Trial("dolly", {"instruction": "a", "context": "", "response": "b", "category": "qa"}, AB),
    Trial("openorca", {"id": "1", "system_prompt": "p", "question": "a", "response": "b"}, AB, persona=["p"]),
    Trial(
        "no_robots",
        {"prompt": "a", "prompt_id": "1", "messages": [said("system", "p"), *CHAT], "category": "Chat"},
        AB,
        persona=["p"],
    ),
    Trial(
        "kto",
        '{"prompt": "a", "completion": "b", "label": true}\n{"prompt": "a", "completion": "x", "label": false}\n',
        AB,
        summary="1 rejected answer left out",
    ),
    Trial(
        "kto of messages", {"prompt": [said("user", "a")], "completion": [said("assistant", "b")], "label": True}, AB
    ),
    Trial("label of a class", {"prompt": "a", "completion": "b", "label": 0}, AB),
    Trial("columns", {"Question": ["a", "c"], "Answer": ["b", "d"]}, [*AB, CD]),
]

PREFERENCES = [
    Trial("dpo", {"prompt": "a", "chosen": "b", "rejected": "x"}, AB, summary="1 rejected answer left out"),
    Trial(
        "dpo of messages",
        {"prompt": "a", "chosen": CHAT, "rejected": [CHAT[0], said("assistant", "x")], "score_chosen": 9.0},
        AB,
    ),
    Trial(
        "dpo of lists",
        {"prompt": [said("user", "a")], "chosen": [said("assistant", "b")], "rejected": [said("assistant", "x")]},
        AB,
    ),
    Trial(
        "dpo of sharegpt",
        {"conversations": [share("human", "a")], "chosen": share("gpt", "b"), "rejected": share("gpt", "x")},
        AB,
    ),
    Trial("chosen and rejected mixed", {"prompt": "a", "chosen": CHAT, "rejected": "x"}, AB),
    Trial("hh", {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: x"}, AB),
    Trial("null chosen", {"prompt": "a", "chosen": None, "rejected": "x"}, error="the chosen reply is null"),
    Trial("empty chosen", {"prompt": "a", "chosen": "", "rejected": "x"}, error="(empty|only one turn)"),
    Trial("system of dpo", {"system": "p", "prompt": "a", "chosen": "b", "rejected": "x"}, AB, persona=["p"]),
]


def node(role: str, text: str, replies: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"role": role, "text": text, "replies": replies or [], **more}


FLAT = [
    {
        "message_id": "1",
        "parent_id": None,
        "message_tree_id": "1",
        "role": "prompter",
        "text": "a",
        "deleted": False,
        "rank": None,
    },
    {
        "message_id": "3",
        "parent_id": "2",
        "message_tree_id": "1",
        "role": "prompter",
        "text": "c",
        "deleted": False,
        "rank": None,
    },
    {
        "message_id": "2",
        "parent_id": "1",
        "message_tree_id": "1",
        "role": "assistant",
        "text": "b",
        "deleted": False,
        "rank": 0,
    },
    {
        "message_id": "4",
        "parent_id": "3",
        "message_tree_id": "1",
        "role": "assistant",
        "text": "d",
        "deleted": True,
        "rank": 0,
    },
]

SETS = [
    Trial(
        "oasst deleted root",
        [{"prompt": node("prompter", "a", [node("assistant", "b")], deleted=True)}, ["a", "b"]],
        AB,
        summary="left out",
    ),
    Trial(
        "oasst ranks missing",
        {
            "message_tree_id": "1",
            "prompt": node(
                "prompter",
                "a",
                [node("assistant", "x", rank=1), node("assistant", "b", rank=0), node("assistant", "y")],
            ),
        },
        AB,
    ),
    Trial(
        "oasst flat in any order",
        "\n".join(map(str, FLAT))
        .replace("'", '"')
        .replace("None", "null")
        .replace("False", "false")
        .replace("True", "true"),
        [("a", "b", "c")],
    ),
    Trial(
        "soda",
        {"narrative": "n", "dialogue": ["a", "b", "c"], "speakers": ["Ida", "Bo", "Bo"], "head": "x"},
        [("a", "b\nc")],
    ),
    Trial("dailydialog", {"dialog": ["a", "b"], "act": [1, 2], "emotion": [0, 0]}, AB),
    Trial(
        "multiwoz 2.1",
        {
            "SNG1.json": {
                "goal": {"x": {}},
                "log": [{"text": "a", "metadata": {}}, {"text": "b", "metadata": {"x": {}}}],
            }
        },
        AB,
    ),
    Trial(
        "multiwoz 2.2",
        [
            {
                "dialogue_id": "1",
                "services": ["hotel"],
                "turns": [
                    {"speaker": "USER", "turn_id": "0", "utterance": "a", "frames": []},
                    {"speaker": "SYSTEM", "turn_id": "1", "utterance": "b"},
                ],
            }
        ],
        AB,
    ),
    Trial(
        "taskmaster",
        [
            {
                "conversation_id": "1",
                "instruction_id": "x",
                "utterances": [
                    {"index": 0, "speaker": "USER", "text": "a", "segments": []},
                    {"index": 1, "speaker": "ASSISTANT", "text": "b"},
                ],
            }
        ],
        AB,
    ),
    Trial(
        "topical chat",
        {
            "t_1": {
                "article_url": "u",
                "content": [{"message": "a", "agent": "agent_1"}, {"message": "b", "agent": "agent_2"}],
                "conversation_rating": {},
            }
        },
        AB,
    ),
    Trial(
        "parlai json",
        {"dialog": [[{"id": "you", "text": "a"}, {"id": "bot", "text": "b"}]], "context": [], "metadata_path": "x"},
        AB,
    ),
    Trial(
        "blended skill talk",
        [{"personas": [["p"], ["q"]], "dialog": [[0, "a"], [1, "b"], [1, "c"]], "suggestions": []}],
        [("a", "b\nc")],
    ),
    Trial(
        "wizard",
        [
            {
                "chosen_topic": "x",
                "persona": "p",
                "wizard_eval": 5,
                "dialog": [{"speaker": "0_Apprentice", "text": "a"}, {"speaker": "1_Wizard", "text": "b"}],
            }
        ],
        AB,
    ),
    Trial(
        "personachat rows",
        {"personality": ["p"], "history": ["a"], "candidates": ["x", "b"], "conv_id": 0, "utterance_idx": 0},
        AB,
        persona=["p"],
    ),
    Trial(
        "coqa",
        {"data": [{"story": "s", "questions": [{"input_text": "a"}], "answers": [{"input_text": "b"}]}]},
        error="no turns",
    ),
    Trial(
        "convokit backwards",
        '{"id": "L2", "conversation_id": "L1", "text": "b", "speaker": "u2", "reply-to": "L1"}\n{"id": "L1", "conversation_id": "L1", "text": "a", "speaker": "u1", "reply-to": null}\n',
        AB,
        file="utterances.jsonl",
    ),
    Trial("texts with marks", {"text": "### Human: a### Assistant: b"}, error="the object has no turns .*'text'"),
]

TABLES = [
    Trial(
        "empathetic",
        "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n"
        "hit:0,1,sad,p,1,a_comma_ x,5|5,\nhit:0,2,sad,p,0,b,5|5,\nhit:1,1,sad,p,2,c,5|5,\nhit:1,2,sad,p,3,d,5|5,\n",
        [("a, x", "b"), CD],
        file="train.csv",
    ),
    Trial("list in a cell", 'id,turns\n1,"[""a"", ""b""]"\n', AB),
    Trial("list of python in a cell", "id,turns\n1,\"['a', 'b']\"\n", error="looks like Python"),
    Trial(
        "messages in a cell",
        'messages\n"[{""role"": ""user"", ""content"": ""a""}, {""role"": ""gpt"", ""content"": ""b""}]"\n',
        AB,
    ),
    Trial("named list in a cell", 'nr;dialog\n1;"[""a"", ""b""]"\n', AB, options={"columns": "turns=dialog"}),
    Trial(
        "rows of speakers",
        "Conversation ID,Timestamp,Speaker,Text\n1,10:00,A,a\n1,10:01,B,b\n2,10:00,A,c\n2,10:01,B,d\n",
        [*AB, CD],
    ),
    Trial("backwards rows", "conversation_id,turn,speaker,text\n1,2,B,b\n1,1,A,a\n2,2,B,d\n2,1,A,c\n", [*AB, CD]),
    Trial("rows in order", "conversation_id,turn,speaker,text\n1,1,A,a\n1,2,B,b\n1,10,A,c\n", [("a", "b", "c")]),
    Trial("unnamed index", ",question,answer\n0,a,b\n1,c,d\n", [*AB, CD]),
    Trial("quotes in excel", 'question;answer\n"a; ""x""";b\n', [('a; "x"', "b")]),
    Trial("bars", "question|answer\na|b\n", AB, summary="separated by bars"),
    Trial("parlai", "text:a\tlabels:b\tepisode_done:True\n", AB),
]


@parametrize([*MESSAGES, *PAIRS, *PREFERENCES, *SETS, *TABLES])
def test_objects(trial: Trial, tmp_path: Path) -> None:
    check(trial, tmp_path)
