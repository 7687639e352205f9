"""JSON files: lists and objects of conversations in any layout."""

import json
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError

SHAREGPT = [
    {"id": "a", "conversations": [{"from": "human", "value": "Hot?"}, {"from": "gpt", "value": "Yes."}]},
    {
        "id": "b",
        "system": "I cook.\nI bake.",
        "conversations": [{"from": "human", "value": "Bus?"}, {"from": "GPT", "value": "9"}],
    },
]
EXPECTED = [
    Conversation(["Hot?", "Yes."], meta={"id": "a"}),
    Conversation(["Bus?", "9"], ["I cook.", "I bake."], {"id": "b"}),
]


@pytest.mark.parametrize(
    "value",
    [
        SHAREGPT,
        {"data": SHAREGPT},
        {"version": 1, "train": SHAREGPT[:1], "valid": SHAREGPT[1:]},
        {"x": {"y": SHAREGPT}},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_conversations_are_found_in_any_layout(reader: Any, value: Any, indent: int | None) -> None:
    made = reader(json.dumps(value, indent=indent))
    assert made.format == "json"
    assert list(made) == EXPECTED


def test_objects_that_follow_one_another_are_read(reader: Any) -> None:
    made = reader("\n".join(json.dumps(value, indent=2) for value in SHAREGPT))
    assert made.format == "json"
    assert [line for line, _ in made.with_line_numbers()] == [1, 14]


def test_lists_of_turns_and_one_list_are_told_apart(reader: Any) -> None:
    assert [each.turns for each in reader('[\n["a", "b"],\n["c", "d"]\n]')] == [("a", "b"), ("c", "d")]
    assert [each.turns for each in reader('[\n"a",\n"b"\n]')] == [("a", "b")]
    assert [each.turns for each in reader('{"x": ["a", "b"], "y": ["c", "d"]}')] == [("a", "b"), ("c", "d")]


def test_a_bad_conversation_costs_only_itself_and_is_told_with_its_line(reader: Any) -> None:
    content = '[\n["a", "b"],\n{"turns": ["a", "b"], "x": 1, "x": 2},\n["c"],\n["d", "\\ud800"],\n["f", "g"]\n]'
    made = reader(content, on_error="skip")
    assert [each.turns for each in made] == [("a", "b"), ("f", "g")]
    assert [problem.split(": ")[0].rpartition(":")[2] for problem in made.report.problems] == ["3", "4", "5"]
    assert "lone surrogate" in made.report.problems[2]


def test_text_that_is_not_json_ends_the_file_and_is_told_with_its_line(reader: Any) -> None:
    content = '[\n["a", "b"],\n{"turns": ["a", "b"], "score": NaN},\n["f", "g"]\n]'
    made = reader(content, on_error="skip")
    assert [each.turns for each in made] == [("a", "b")]
    [problem] = made.report.problems
    assert ":3: NaN is a number that cannot be written as JSON, and the rest of the file is not read; " in problem
    with pytest.raises(ConversationFileError, match=r":3: NaN is a number that cannot be written as JSON"):
        list(reader(content))


def test_what_is_cut_off_is_told_at_its_end(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r":2: not JSON: the text ends too early"):
        list(reader('[["a", "b"],\n["c", "d"]'))


def test_rows_of_one_utterance_are_grouped(reader: Any) -> None:
    rows = [{"dialog_id": i // 2, "role": ("user", "assistant")[i % 2], "text": str(i)} for i in range(4)]
    assert list(reader(json.dumps(rows))) == [
        Conversation(["0", "1"], meta={"dialog_id": 0}),
        Conversation(["2", "3"], meta={"dialog_id": 1}),
    ]
