"""ParlAI's older numbered lines, against the description in `FbDeprecatedDialogTeacher` of ParlAI."""

from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError


def test_numbers_that_begin_again_begin_a_conversation(reader: Any) -> None:
    made = reader("1 Hi\tHello\n2 How are you?\tWell.\n1 Bye\tSee you\n\n1 Yes?\tNo.\n")
    assert made.format == "fbdialog"
    assert [each.turns for each in made] == [
        ("Hi", "Hello", "How are you?", "Well."),
        ("Bye", "See you"),
        ("Yes?", "No."),
    ]


def test_persona_lines_are_the_persona(reader: Any) -> None:
    (conversation,) = reader("1 your persona: I fly.\n2 partner's persona: I swim.\n3 hello\thi\t\thi|ho\n")
    assert conversation == Conversation(
        ["hello", "hi"], ["I fly."], {"partner_persona": ["I swim."], "candidates": ["hi", "ho"]}
    )


def test_only_the_candidates_of_the_last_response_are_kept(reader: Any) -> None:
    (conversation,) = reader("1 a\tb\t\tb|c\n2 d\te\t1\te|f\n")
    assert conversation.meta == {"candidates": ["e", "f"]}
    (conversation,) = reader("1 a\tb\t\tb|c\n2 d\te\n")
    assert conversation.meta is None


def test_lines_without_a_response_are_part_of_what_is_heard(reader: Any) -> None:
    made = reader("1 Sam went out.\n2 Pat sat.\n3 Where is Sam?\tout\t1\n4 And Pat?\n1 a\tb|c\n")
    assert [each.turns for each in made] == [
        ("Sam went out.\nPat sat.\nWhere is Sam?", "out", "And Pat?"),
        ("a", "b"),
    ]


def test_silence_and_newlines(reader: Any) -> None:
    (conversation,) = reader("1 __SILENCE__\tHello\\nyou\n2 Hi\tSo?\n3\n")
    assert conversation.turns == ("Hello\nyou", "Hi", "So?")


def test_a_line_without_number_drops_its_episode(reader: Any) -> None:
    content = "1 a\tb\n2 c\td\noops\n4 e\tf\n1 g\th\n1 \t|x\n2 i\tj\n1 k\tl\n"
    made = reader(content, on_error="skip", format="fbdialog")
    assert [each.turns for each in made] == [("g", "h"), ("k", "l")]
    assert ":3: the line begins with 'oops'" in made.report.problems[0]
    assert ":6: the response is empty" in made.report.problems[1]
    assert made.report.skipped == 2
    with pytest.raises(ConversationFileError, match=r":3: .*on_error='skip'"):
        list(reader(content, format="fbdialog"))


def test_bytes_that_are_not_utf_8_drop_their_episode(reader: Any) -> None:
    made = reader(b"1 a\tb\n2 \xff\td\n3 e\tf\n1 g\th\n", on_error="skip")
    assert [each.turns for each in made] == [("g", "h")]


def test_a_list_of_numbered_things_is_not_taken_for_a_conversation(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match="cannot be recognised"):
        reader("1 apple\n2 pears\n")
