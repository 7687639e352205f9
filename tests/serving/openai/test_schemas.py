"""Supported and unsupported fields of chat completions."""

from typing import Any

import openai
import pytest

from convmodel.serving.ignored_fields import HEADER
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, service_of
from tests.serving.openai.helpers import CHAT, HELLO

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def test_unsupported_fields_without_effect_are_accepted(client: openai.OpenAI, fake: FakeResponder) -> None:
    client.chat.completions.create(
        model="model",
        messages=HELLO,
        logprobs=False,
        response_format={"type": "text"},
        store=False,
        tool_choice="none",
        tools=[],
        parallel_tool_calls=True,
        frequency_penalty=0,
        presence_penalty=0,
        top_p=1,
        n=1,
        logit_bias={},
        user="anna",
        stream=False,
    )
    assert fake.asked[0]["options"] == {}


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "system", "content": "a"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "clown", "content": "a"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages[0].content", "invalid_value"),
        ({"messages": [*HELLO, {"role": "user", "content": None}]}, "messages[1].content", "invalid_value"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "invalid_value",
        ),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content", "unsupported_parameter"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"top_p": -0.1}, "top_p", "invalid_value"),
        ({"n": 9}, "n", "too_much"),
        ({"n": 200}, "n", "too_much"),
        ({"n": 0}, "n", "invalid_value"),
        ({"stop": list("abcdefghijklmnopq")}, "stop", "invalid_value"),
        ({"stop": ["a", None]}, "stop[1]", "invalid_value"),
        ({"stop": ["a", "b" * 201]}, "stop[1]", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": -2}, "max_tokens", "invalid_value"),
        ({"seed": -2}, "seed", "invalid_value"),
        ({"seed": 2**53 - 2, "n": 3}, "seed", "invalid_value"),
        ({"frequency_penalty": 2.5}, "frequency_penalty", "invalid_value"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "unsupported_parameter"),
        ({"tools": [{"type": "function"}], "tool_choice": "required"}, "tool_choice", "unsupported_parameter"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format", "unsupported_parameter"),
        ({"guided_json": {"type": "object"}}, "guided_json", "unsupported_parameter"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
        ({"options": {"heat": 1}}, "options.heat", "unsupported_parameter"),
    ],
)
def test_unsupported_fields_are_rejected(change: dict[str, Any], param: str | None, code: str) -> None:
    fake = FakeResponder()
    with client_of(service_of(fake)) as client:
        answer = client.post(CHAT, json={"model": "model", "messages": HELLO, **change})
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["code"] == code and not fake.asked
    assert param is None or error["param"] == param


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("tool_choice", "required", ", or give 'none' or 'auto'"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}, ", or give 'none' or 'auto'"),
        ("response_format", {"type": "json_object"}, ", or give type 'text'"),
        ("logprobs", 1, ""),
        ("logit_bias", {"5": 1}, ""),
        ("grammar", "root ::= a", ", or give ''"),
    ],
)
def test_a_field_of_which_some_values_are_supported_names_them(field: str, value: Any, allowed: str) -> None:
    with client_of(service_of()) as client:
        error = client.post(CHAT, json={"model": "model", "messages": HELLO, field: value}).json()["error"]
    assert error["message"] == f"{field}: this server does not support this value; leave it out{allowed}"


LONG = {"role": "user", "content": "a" * 20_001}


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([{"role": "system", "content": "x"}, LONG], "messages[1].content"),
        ([*HELLO, {"role": "assistant", "content": None}, *HELLO, LONG], "messages[3].content"),
        ([{"role": "user", "content": [{"type": "text", "text": "a" * 20_000}, {"type": "text", "text": ""}]}], None),
    ],
)
def test_a_message_that_is_too_long_is_named_by_its_place_in_the_request(messages: Any, path: str | None) -> None:
    with client_of(service_of()) as client:
        error = client.post(CHAT, json={"model": "model", "messages": messages}).json()["error"]
    path = path or "messages[0].content"
    assert (error["param"], error["code"]) == (path, "too_much")
    assert error["message"] == f"{path} has 20,001 characters; 20,000 are allowed"


def test_messages_that_are_joined_may_be_longer_together() -> None:
    fake = FakeResponder()
    with client_of(service_of(fake)) as client:
        messages = [{"role": "user", "content": "a" * 15_000}] * 2
        assert client.post(CHAT, json={"model": "model", "messages": messages}).status_code == 200
    assert len(fake.asked[0]["context"][0]) == 30_001


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
    assert list(fake.asked[0]["context"]) == ["Hello!"] and fake.asked[0]["options"] == {}
    with client_of(service_of(strict=True)) as client:
        answer = client.post(CHAT, json=body)
    assert answer.status_code == (200 if header is None else 400)
    if header is not None:
        error = answer.json()["error"]
        assert error["code"] == "unsupported_parameter" and error["message"].startswith(error["param"])
