"""ChatterBot's YAML: turns as written, categories, and damage."""

import sys
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError

CORPUS = """\
categories:
- greetings
- AI
conversations:
- - Hello
  - 'Hi: there'
- - Yes
  - null
  - 42
# a remark
- - a long
    turn
  - "x\\ny"
"""


def test_turns_are_taken_as_written(reader: Any) -> None:
    made = reader(CORPUS)
    meta = {"categories": ["greetings", "AI"]}
    expected = [["Hello", "Hi: there"], ["Yes", "null", "42"], ["a long turn", "x\ny"]]
    assert made.format == "chatterbot"
    assert list(made) == [Conversation(turns, meta=meta) for turns in expected]
    assert [line for line, _ in made.with_line_numbers()] == [5, 7, 11]


def test_categories_may_be_missing_and_lists_written_otherwise(reader: Any) -> None:
    assert list(reader("conversations:\n  -\n    - a\n    - b\n")) == [Conversation(["a", "b"])]
    assert [each.turns for each in reader("conversations: [[a, b], [c, d]]\n", format="chatterbot")] == [
        *(("a", "b"), ("c", "d"))
    ]


def test_a_conversation_that_cannot_be_used_costs_only_itself(reader: Any) -> None:
    content = "conversations:\n- - a\n  - b\n- alone\n- - c\n  - [d]\n- - e\n  - *f\n- - g\n  - h\n"
    made = reader(content, on_error="skip")
    assert [each.turns for each in made] == [("a", "b"), ("g", "h")]
    faults = ["4: a conversation is one text", "5: a turn is a list or a mapping", "7: a turn is an alias"]
    assert all(fault in problem for fault, problem in zip(faults, made.report.problems, strict=True))


def test_damage_is_told_with_its_line(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r":4: not YAML: mapping values are not allowed here; repair it"):
        list(reader("conversations:\n- - a\n  - b\n- - c: d: e\n  - f\n"))
    with pytest.raises(ConversationFileError, match=r":4: not UTF-8"):
        list(reader(b"conversations:\n- - a\n  - b\n- - \xff\n  - f\n"))


def test_a_value_without_an_end_does_not_fill_the_memory(reader: Any) -> None:
    content = "conversations:\n- - a\n  - b\n- - " + "c\n    " * 20_000 + "\n"
    with pytest.raises(ConversationFileError, match="a value is longer than max_line_bytes=100; split it"):
        list(reader(content, max_line_bytes=100))


def test_without_the_library_it_is_named(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ImportError, match=r"YAML needs the library PyYAML; pip install"):
        list(reader(CORPUS))
