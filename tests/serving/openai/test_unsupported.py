"""Fields of OpenAI's API without support: accepted with values without effect, and otherwise refused."""

from typing import Any

import openai
import pytest

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
    assert fake.requests[0]["options"] == {}


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
        ({"top_p": 0}, "top_p", "invalid_value"),
        ({"n": 9}, "n", "too_much"),
        ({"n": 0}, "n", "invalid_value"),
        ({"stop": list("abcdefghijklmnopq")}, "stop", "invalid_value"),
        ({"stop": ["a", ""]}, "stop[1]", "invalid_value"),
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
    assert answer.status_code == 400 and error["code"] == code and not fake.requests
    assert param is None or error["param"] == param
