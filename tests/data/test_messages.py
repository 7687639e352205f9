"""Chat messages: roles, parts, and what is said about those that are not allowed."""

from typing import Any

import pytest

from convmodel.data.messages import MessageError, split_messages


def message(role: Any, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_neighbours_of_one_role_are_one_turn() -> None:
    messages = [message("user", "a"), message("human", "b"), message("gpt", "c"), message("assistant", "d")]
    assert split_messages(messages)[:2] == (["a\nb", "c\nd"], [])


def test_every_system_message_is_a_persona_sentence() -> None:
    messages = [message("system", "p"), message("system", "q"), message("user", "a")]
    assert split_messages(messages)[:2] == (["a"], ["p", "q"])


def test_the_other_spelling_is_from_and_value() -> None:
    messages = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 0}]
    assert split_messages(messages)[:2] == (["a", "b"], [])


def test_keys_that_a_data_set_filled_with_null_are_ignored() -> None:
    messages = [{"role": None, "content": None, "from": "human", "value": "a"}]
    assert split_messages(messages)[:2] == (["a"], [])


def test_text_parts_are_joined_with_a_newline() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert split_messages([message("user", parts)])[:2] == (["a\nb"], [])


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        (None, "messages is null"),
        (["a"], "message 1 is the string 'a'"),
        (
            [message("critic", "a")],
            "message 1 has the role 'critic'; allowed are user or human, assistant or gpt, sys",
        ),
        ([message(["user"], "a")], r"message 1 has the role \['user'\]; allowed are"),
        ([{"content": "a"}], "message 1 has no role; allowed are"),
        ([message("user", None)], "message 1: its content is null"),
        ([message("user", "a"), message("assistant", 5)], "message 2: its content is the number 5"),
        ([message("user", " ")], "message 1 is empty"),
        ([message("user", [])], "message 1 is empty"),
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


def test_roles_are_known_in_any_case_and_by_many_names() -> None:
    messages = [message("Developer", "p"), message("USER", "a"), message("Assistant", "b"), message("Customer", "c")]
    assert split_messages([*messages, message("chatGPT", "d")])[:2] == (["a", "b", "c", "d"], ["p"])


def test_lines_of_system_messages_are_sentences_wherever_they_stand() -> None:
    messages = [message("system", "p\n\n  q \r\n"), message("user", "a"), message("system", " "), message("gpt", "b")]
    assert split_messages([*messages, message("system", "r"), message("system", None)])[:2] == (
        ["a", "b"],
        ["p", "q", "r"],
    )


def test_an_empty_reply_is_passed_over() -> None:
    nothing: list[Any] = [None, "", " ", []]
    for empty in nothing:
        chat = split_messages([message("user", "a"), message("assistant", empty), message("user", "b")])
        assert (chat.turns, chat.skipped, chat.replies_last) == (["a\nb"], 0, False)


def test_calls_of_tools_and_their_results_are_passed_over_and_counted() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    messages = [message("user", "a"), call, message("tool", {"x": 1}), message("assistant", "b")]
    part = {"type": "tool_use", "name": "w"}
    messages += [
        message("user", "c"),
        message("assistant", [{"type": "text", "text": "d"}, part]),
        {"from": "observation"},
    ]
    assert split_messages(messages)[:4] == (["a", "b", "c", "d"], [], 3, True)


def test_an_error_has_the_position_and_the_key_of_its_message() -> None:
    with pytest.raises(MessageError) as caught:
        split_messages([message("user", "a"), message("user", [{"type": "image_url"}])])
    error = caught.value
    assert (error.index, error.field) == (1, "content")
    assert error.fault.startswith("has a part that is not text ('image_url')")
