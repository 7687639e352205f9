"""Chat messages: roles, parts, and what is said about those that are not allowed."""

from typing import Any

import pytest

from convmodel.data.messages import split_messages


def message(role: Any, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_neighbours_of_one_role_are_one_turn() -> None:
    messages = [message("user", "a"), message("human", "b"), message("gpt", "c"), message("assistant", "d")]
    assert split_messages(messages) == (["a\nb", "c\nd"], [])


def test_every_system_message_is_a_persona_sentence() -> None:
    messages = [message("system", "p"), message("system", "q"), message("user", "a")]
    assert split_messages(messages) == (["a"], ["p", "q"])


def test_the_other_spelling_is_from_and_value() -> None:
    messages = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 0}]
    assert split_messages(messages) == (["a", "b"], [])


def test_keys_that_a_data_set_filled_with_null_are_ignored() -> None:
    messages = [{"role": None, "content": None, "from": "human", "value": "a"}]
    assert split_messages(messages) == (["a"], [])


def test_text_parts_are_joined_with_a_newline() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert split_messages([message("user", parts)]) == (["a\nb"], [])


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        (None, "messages is null"),
        (["a"], "message 1 is the string 'a'"),
        (
            [message("tool", "a")],
            "message 1 has the role 'tool'; allowed are user or human, assistant or gpt, sys",
        ),
        ([message(["user"], "a")], r"message 1 has the role \['user'\]; allowed are"),
        ([{"content": "a"}], "message 1 has no role; allowed are"),
        ([message("user", "a"), message("assistant", None)], "message 2: its content is null"),
        ([message("user", " ")], "message 1 is empty"),
        ([message("user", [])], "message 1 is empty"),
        (
            [message("user", "a"), message("system", "p")],
            "message 2 is a system message after the first turn",
        ),
        (
            [message("user", [{"type": "image_url", "image_url": {}}])],
            r"is not text \('image_url'\); allowed is",
        ),
        ([message("user", [{"type": "text", "text": 5}])], "part that is not text"),
        ([message("user", ["a"])], r"is not text \(the string 'a'\)"),
    ],
)
def test_what_is_no_message_is_told_with_its_number(messages: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        split_messages(messages)
