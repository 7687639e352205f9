"""Turns between tabs: what is recognised, and what may be a table of another kind."""

from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError


def test_each_line_is_a_conversation(reader: Any) -> None:
    made = reader("Hi\tHello\tBye\t\nOne, two\tthree\n")
    assert made.format == "tabs"
    assert [each.turns for each in made] == [("Hi", "Hello", "Bye"), ("One, two", "three")]


def test_short_turns_are_no_header(reader: Any) -> None:
    assert reader("Hi\tHello\nBye\tLater\nNo\tYes, of course\n").format == "tabs"
    assert reader("Hi\tHello\n", name="x.tsv").format == "tabs"


def test_a_header_of_unknown_names_is_not_a_conversation(reader: Any) -> None:
    content = "Frage\tAntwort\nIs it far?\tTwo stops.\n"
    with pytest.raises(ConversationFileError, match="the columns are 'Frage', 'Antwort'; call two of them"):
        list(reader(content, name="x.tsv"))
    with pytest.raises(ConversationFileError, match="cannot be recognised"):
        reader(content)
    assert len(list(reader(content, format="tabs"))) == 2


@pytest.mark.parametrize("content", ["1\tHi\tHello\n2\tOne\tTwo\n", "Hi\tHello\nalone\n", '["a",\t"b"\n'])
def test_numbers_and_single_texts_are_no_turns(reader: Any, content: str) -> None:
    try:
        assert reader(content).format != "tabs"
    except ConversationFileError as error:
        assert "cannot be recognised" in str(error)


def test_an_empty_turn_is_told_with_its_line(reader: Any) -> None:
    made = reader("a\tb\nc\t\td\n", format="tabs", on_error="skip")
    assert len(list(made)) == 1 and ":2: turn 2 is empty" in made.report.problems[0]


def test_the_last_line_of_the_beginning_may_be_cut_off(reader: Any) -> None:
    content = "".join(f"{number} {'a' * 9000}\tanswer {number}\n" for number in range(9))
    assert len(list(reader(content))) == 9
