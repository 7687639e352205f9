"""Lists of utterances under the keys of research sets."""

import json
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError

PAIRS = [
    [{"id": "human", "text": "a"}, {"id": "bot", "text": "b"}],
    [{"id": "human", "text": "c"}, {"id": "bot", "text": "d"}],
]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"dialog": PAIRS, "time": 1}, Conversation(["a", "b", "c", "d"], meta={"time": 1})),
        ({"dialog": ["a", "b", "c"], "act": [1, 2, 3]}, Conversation(["a", "b", "c"], meta={"act": [1, 2, 3]})),
        ({"dialogue": ["a", "b", "c"], "speakers": ["X", "X", "Y"]}, Conversation(["a\nb", "c"])),
        (
            {"turns": [{"speaker": "USER", "utterance": "a"}, {"speaker": "SYSTEM", "utterance": "b"}]},
            Conversation(["a", "b"]),
        ),
        ({"turns": {"speaker": [0, 1, 1], "utterance": ["a", "b", "c"]}}, Conversation(["a", "b\nc"])),
        ({"turns": [{"role": "user", "content": "a"}, {"role": "bot", "content": "b"}]}, Conversation(["a", "b"])),
        (
            {
                "utterances": [
                    {"index": 0, "speaker": "USER", "text": "a"},
                    {"index": 1, "speaker": "ASSISTANT", "text": "b"},
                ]
            },
            Conversation(["a", "b"]),
        ),
        (
            {"content": [{"message": "a", "agent": "agent_1"}, {"message": "b", "agent": "agent_2"}]},
            Conversation(["a", "b"]),
        ),
        ({"conversation": ["a", "b"], "persona": ["p"]}, Conversation(["a", "b"], ["p"])),
        (
            {
                "dialog": [
                    [{"id": "x", "text": "your persona: p\n__SILENCE__"}, {"id": "y", "text": "a"}],
                    [{"id": "x", "text": "b"}],
                ]
            },
            Conversation(["a", "b"], ["p"]),
        ),
        ({"dialog": ["a", "b"], "persona": "p"}, Conversation(["a", "b"], meta={"persona": "p"})),
    ],
)
def test_a_list_of_utterances_becomes_turns(reader: Any, value: Any, expected: Conversation) -> None:
    assert list(reader(json.dumps(value))) == list(reader(json.dumps([value], indent=1))) == [expected]


def test_an_object_of_dialogues_is_read(reader: Any) -> None:
    value = {
        f"SNG0{number}.json": {
            "goal": {},
            "log": [{"text": "a", "metadata": {}}, {"text": str(number), "metadata": {"x": 1}}],
        }
        for number in range(2)
    }
    assert [each.turns for each in reader(json.dumps(value))] == [("a", "0"), ("a", "1")]


def test_an_utterance_without_a_text_is_told(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r":1: utterance 2 has no text \(its text is the number 5\); give"):
        list(reader(json.dumps({"dialog": [{"text": "a"}, {"text": 5}]})))
    with pytest.raises(ConversationFileError, match=r":1: utterance 2 is the number 5; write"):
        list(reader(json.dumps({"log": ["a", 5]})))


def test_a_text_under_such_a_key_is_no_list(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match="the object has no turns"):
        list(reader('{"content": "a"}'))
    with pytest.raises(ConversationFileError, match="the columns are 'title', 'content'"):
        list(reader("title,content\na,b\n", name="x.csv"))
