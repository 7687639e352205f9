"""Texts and blocks of Anthropic's messages."""

import pytest
from pydantic import ValidationError

from convmodel.serving.anthropic.schemas import MessagesRequest

TURN = {"role": "user", "content": "Hello!"}


def test_a_system_text_is_the_first_message_of_a_chat() -> None:
    body = MessagesRequest(model="m", max_tokens=1, system=" i am old .\n", messages=[TURN])  # type: ignore[call-arg, list-item]
    assert [(message.role, message.content) for message in body.chat_messages()] == [
        ("system", " i am old .\n"),
        ("user", "Hello!"),
    ]
    blank = MessagesRequest.model_validate({"model": "m", "max_tokens": 1, "system": " ", "messages": [TURN]})
    assert [message.role for message in blank.chat_messages()] == ["user"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"messages": [{"role": "system", "content": "a"}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        {"system": [{"type": "thinking", "thinking": "a"}]},
        {"max_tokens": 0},
        {"max_tokens": None},
        {"temperature": 1.5},
        {"stop_sequences": ["a" * 201]},
        {"stop_sequences": list("abcdefghijklmnopq")},
        {"tool_choice": {"type": "tool", "name": "x"}},
    ],
    ids=str,
)
def test_values_that_ask_for_more_than_text_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MessagesRequest.model_validate({"model": "m", "max_tokens": 1, "messages": [TURN], **wrong})


def test_tools_and_thoughts_are_passed_over() -> None:
    messages = [
        TURN,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "a greeting", "signature": "x"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "1", "name": "f", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "5"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}, {"type": "text", "text": "And?"}]},
    ]
    body = MessagesRequest.model_validate({"model": "m", "max_tokens": 1, "messages": messages})
    assert [(message.role, message.content) for message in body.chat_messages()] == [
        ("user", "Hello!"),
        ("assistant", "I look."),
        ("tool", ""),
        ("user", "And?"),
    ]
