"""Fields of chat completions: content that is not text, and fields that change nothing."""

from typing import Any

import pytest

from convmodel.serving.ignored_fields import HEADER
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, service_of
from tests.serving.openai.helpers import CHAT, HELLO

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def test_an_image_is_refused_in_words_that_name_it() -> None:
    with client_of(service_of()) as client:
        messages: Any = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]}]
        error = client.post(CHAT, json={"model": "model", "messages": messages}).json()["error"]
        assert error["message"] == "messages[0].content: image_url parts are not supported; send text parts"
        messages = [{"role": "user", "content": 5}]
        error = client.post(CHAT, json={"model": "model", "messages": messages}).json()["error"]
        assert error["message"] == "messages[0].content: Input should be a valid string or a valid list"


IGNORED: list[tuple[dict[str, Any], str | None]] = [
    (
        {"messages": [{"role": "user", "content": "Hello!", "name": "Ann", "id": "7"}]},
        "messages[0].id, messages[0].name",
    ),
    ({"metadata": {"a": "b"}}, "metadata"),
    ({"store": True}, "store"),
    ({"chat_id": "a", "keep_alive": "5m"}, "chat_id, keep_alive"),
    ({"chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs"),
    ({"reasoning_effort": "high"}, "reasoning_effort"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"stream": True, "stream_options": {"include_obfuscation": False}}, "stream_options.include_obfuscation"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"tools": [{"type": "function"}], "tool_choice": "auto"}, "tools"),
    ({"messages": [*HELLO, {"role": "assistant", "tool_calls": [{}]}, {"role": "tool"}]}, "messages (2 of tools)"),
    ({"best_of": 3, "a\r\nb: c, ä": None}, "best_of, a??b: c? ?"),
    ({f"x{number}": 1 for number in range(40)}, ", ".join(f"x{number}" for number in range(30)) + ", (10 more)"),
    ({}, None),
    ({"metadata": {}, "store": False, "reasoning_effort": "none", "tools": None, "user": "anna"}, None),
]
"""Fields that change nothing, and the header that names them."""


@pytest.mark.parametrize(("fields", "header"), IGNORED)
def test_fields_that_change_nothing_are_ignored_and_named_or_refused_by_a_strict_server(
    fields: dict[str, Any], header: str | None
) -> None:
    fake = FakeResponder()
    body = {"model": "model", "messages": HELLO, **fields}
    with client_of(service_of(fake)) as client:
        answer = client.post(CHAT, json=body)
    assert answer.status_code == 200 and answer.headers.get(HEADER) == header
    assert list(fake.requests[0]["context"]) == ["Hello!"] and fake.requests[0]["options"] == {}
    with client_of(service_of(strict=True)) as client:
        answer = client.post(CHAT, json=body)
    assert answer.status_code == (200 if header is None else 400)
    if header is not None:
        error = answer.json()["error"]
        assert error["code"] == "unsupported_parameter" and error["message"].startswith(error["param"])
