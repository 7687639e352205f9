"""JSON objects that hold a table column by column."""

import json
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError
from convmodel.data.json_columns import is_columnar
from convmodel.data.options import ReadOptions

EXPECTED = [Conversation(["a", "b"], meta={"n": 1}), Conversation(["c", "d"], meta={"n": None})]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "value",
    [
        {"context": ["a", "c"], "response": ["b", "d"], "n": [1, None]},
        {"n": {"0": 1, "1": None}, "question": {"0": "a", "1": "c"}, "answer": {"0": "b", "1": "d"}},
        {"turns": [["a", "b"], ["c", "d"]], "n": [1, None]},
        {
            "messages": [[{"role": "user", "content": x}, {"role": "bot", "content": y}] for x, y in ("ab", "cd")],
            "n": [1, None],
        },
    ],
)
def test_lists_and_objects_of_values_are_columns(reader: Any, value: Any, indent: int | None) -> None:
    made = reader(json.dumps(value, indent=indent))
    assert made.format == "json"
    assert list(made) == EXPECTED
    assert made.report.notes.recognised[0] == "column by column"


def test_columns_of_utterances_are_grouped(reader: Any) -> None:
    made = reader(json.dumps({"conv_id": [1, 1, 2, 2], "speaker": list("xyxy"), "text": list("abcd")}))
    assert [each.turns for each in made] == [("a", "b"), ("c", "d")]


def test_columns_longer_than_the_beginning_are_found(reader: Any) -> None:
    value = {"question": ["word " * 9] * 3000, "answer": ["b"] * 3000}
    assert sum(1 for _ in reader(json.dumps(value))) == 3000
    assert sum(1 for _ in reader(json.dumps(value, indent=1))) == 3000


def test_columns_that_do_not_fit_are_told(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r"the columns 'answer' end before the others; make them equally"):
        list(reader('{"question": ["a", "c"],\n"answer": ["b"]}'))
    with pytest.raises(ConversationFileError, match=r"the columns have different keys; write the rows"):
        list(reader('{"question": {"0": "a"},\n"answer": {"1": "b"}}'))
    with pytest.raises(ConversationFileError, match=r":2: not JSON"):
        list(reader('{"question": ["a", "c"],\n"answer": ["b"'))


def test_a_damaged_value_costs_its_row(reader: Any) -> None:
    made = reader('{"question": ["a",\n{"x": 1, "x": 2}, "e"],\n"answer": ["b", "d", "f"]}', on_error="skip")
    assert [each.turns for each in made] == [("a", "b"), ("e", "f")]
    assert ":2: the key 'x' appears twice" in made.report.problems[0]


@pytest.mark.parametrize(
    "value",
    [
        {"context": ["a", "b"], "response": "c"},
        {"turns": ["a", "b"]},
        {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]},
        {"dialog": [[{"id": "x", "text": "a"}, {"id": "y", "text": "b"}]]},
        {"x": ["a"], "y": ["b"]},
        {"train": [["a", "b"]], "valid": []},
        {},
        [],
    ],
)
def test_a_conversation_is_not_columns(value: Any) -> None:
    assert not is_columnar(value, ReadOptions())
