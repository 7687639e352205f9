"""Lines with the name of the speaker: names, continued turns, and what divides conversations."""

from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError


def turns(made: Any) -> list[tuple[str, ...]]:
    assert made.format == "speakers"
    return [each.turns for each in made]


def test_blank_lines_and_rules_divide_conversations(reader: Any) -> None:
    content = "A: Hi\nB: Hello\nthere\nB: you\n\nA: Cold?\nB: Yes.\n---\n\nDr. Who: a\nIda Bo: b: c\n"
    expected = [("Hi", "Hello\nthere\nyou"), ("Cold?", "Yes."), ("a", "b: c")]
    assert turns(reader(content)) == turns(reader(content.replace("\n", "\r\n"))) == expected


def test_headings_divide_conversations_and_tabs_may_follow_names(reader: Any) -> None:
    made = reader("Conversation 1\nA:\tHi\nB:\tHello\n## Dialogue #2:\nA:\ta\nB:\tb\n")
    assert turns(made) == [("Hi", "Hello"), ("a", "b")]
    assert turns(reader("A:\tHi\nB:\tHello\n")) == [("Hi", "Hello")]


def test_a_blank_line_may_stand_between_all_turns(reader: Any) -> None:
    made = reader(
        "Human: Hi\n\nAssistant: Hello\nthere\n\n\nHuman: a\n\nAssistant: b\n\n===\n\nHuman: c\n\nAssistant: d\n"
    )
    assert turns(made) == [("Hi", "Hello\nthere"), ("a", "b"), ("c", "d")]
    assert made.report.notes.recognised == ["blank lines between turns"]


def test_texts_may_stand_below_the_names_and_roles_are_messages(reader: Any) -> None:
    made = reader("System:\nI keep bees.\nUser:\nAnimals?\nBot:\nTwo\nhives.\n\nUser: a\nBot: b\n")
    assert list(made) == [Conversation(["Animals?", "Two\nhives."], ["I keep bees."]), Conversation(["a", "b"])]


def test_a_text_before_the_first_name_costs_its_conversation(reader: Any) -> None:
    made = reader("A: a\nB: b\n\nnobody says this\nA: c\nB: d\n\nA: e\nB: f\n", on_error="skip")
    assert turns(made) == [("a", "b"), ("e", "f")]
    assert ":4: the line begins with 'nobody says this'; begin it with a name" in made.report.problems[0]


def test_a_conversation_without_an_end_does_not_fill_the_memory(reader: Any) -> None:
    made = reader("A: a\nB: b\n\n" + "A: a\nB: b\n" * 100, max_line_bytes=200, on_error="skip")
    assert len(turns(made)) == 1 and "the conversation is longer than max_line_bytes=200" in made.report.problems[0]


@pytest.mark.parametrize(
    "content", ["name: x\nport: 80\nhost: y\nuser: z\n", "A: a\nA: b\n", "Dear all: hi\nbye\nbye\n"]
)
def test_settings_and_monologues_are_no_conversations(reader: Any, content: str) -> None:
    with pytest.raises(ConversationFileError, match="cannot be recognised"):
        reader(content)
