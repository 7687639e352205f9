"""Preference sets: the chosen conversation in all forms, and the rejected reply as a distractor."""

import json
from typing import Any

import pytest

from convmodel.data.shapes.preference import split_transcript


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nagain\n\nHuman: Bye\n\nAssistant: See you",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello\n\nagain\n\nHuman: Bye\n\nAssistant: Go",
}
CASES = [
    (HH, ["Hi", "Hello\n\nagain", "Bye", "See you"]),
    ({"prompt": "\n\nHuman: a\n\nAssistant:", "chosen": " b", "rejected": "c"}, ["a", " b"]),
    ({"prompt": "a", "chosen": "b", "rejected": "c"}, ["a", "b"]),
    ({"instruction": "a", "input": "x", "chosen": "b", "rejected": "c"}, ["a\nx", "b"]),
    (
        {
            "prompt": "a",
            "chosen": [said("user", "a"), said("assistant", "b")],
            "rejected": [said("user", "a"), said("assistant", "c")],
        },
        ["a", "b"],
    ),
    (
        {"prompt": [said("user", "a")], "chosen": [said("assistant", "b")], "rejected": [said("assistant", "c")]},
        ["a", "b"],
    ),
    (
        {
            "conversations": [{"from": "human", "value": "a"}],
            "chosen": {"from": "gpt", "value": "b"},
            "rejected": {"from": "gpt", "value": "c"},
        },
        ["a", "b"],
    ),
]


@pytest.mark.parametrize(("value", "turns"), CASES)
def test_the_chosen_conversation_is_read_and_the_rejected_reply_is_a_distractor(
    reader: Any, choices: Any, value: Any, turns: list[str]
) -> None:
    content = json.dumps({**value, "score": 1}) + "\n"
    made = reader(content * 2)
    assert [(list(each.turns), each.meta) for each in made] == [(turns, {"score": 1})] * 2
    assert made.report.skipped_messages == {"rejected answer": 2}
    [example, _] = choices(content * 2)
    assert [*example.context, example.response] == turns and len(example.distractors) == 1


def test_the_system_text_is_the_persona_and_tables_are_read(reader: Any) -> None:
    made = reader("system,question,chosen,rejected\nBe good.,a,b,c\n")
    assert [(each.persona, each.turns) for each in made] == [(("Be good.",), ("a", "b"))]
    assert made.report.notes.recognised == ["chosen and rejected"]


@pytest.mark.parametrize("rejected", [None, "", 5, [], [5], "b"])
def test_a_rejected_reply_that_cannot_be_used_is_left_out(choices: Any, reader: Any, rejected: Any) -> None:
    content = json.dumps({"prompt": "a", "chosen": "b", "rejected": rejected})
    assert [each.turns for each in reader(content)] == [("a", "b")]


@pytest.mark.parametrize("chosen", [None, 5, [5], "", "\n\nHuman: a"])
def test_a_chosen_reply_that_cannot_be_used_is_told(reader: Any, chosen: Any) -> None:
    made = reader('["a", "b"]\n' + json.dumps({"prompt": "a", "chosen": chosen, "rejected": "c"}), on_error="skip")
    assert len(list(made)) == 1 and made.report.skipped == 1


def test_a_text_without_a_mark_at_its_beginning_is_no_transcript() -> None:
    assert split_transcript("He said\n\nHuman: a") == []
    assert split_transcript("Human: a") == [("Human", "a")]
