"""Supported and unsupported fields of chat completions."""

from typing import Any

import openai
import pytest

from tests.fakes import FakeResponder
from tests.serving.clients import client_of, service_of
from tests.serving.openai.helpers import CHAT, HELLO


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
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": " "}]}, None, "invalid_value"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"top_p": 0}, "top_p", "invalid_value"),
        ({"n": 9}, "n", "too_much"),
        ({"n": 0}, "n", "invalid_value"),
        ({"stop": list("abcde")}, None, "invalid_value"),
        ({"max_tokens": 513}, "max_tokens", "invalid_value"),
        ({"max_tokens": 5, "max_completion_tokens": 513}, "max_completion_tokens", "invalid_value"),
        ({"seed": 2**53 - 2, "n": 3}, "seed", "invalid_value"),
        ({"frequency_penalty": 2.5}, "frequency_penalty", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"store": True}, "store", "unsupported_parameter"),
        ({"best_of": 3}, "best_of", "unsupported_parameter"),
    ],
)
def test_unsupported_fields_are_rejected(change: dict[str, Any], param: str | None, code: str) -> None:
    fake = FakeResponder()
    with client_of(service_of(fake)) as client:
        answer = client.post(CHAT, json={"model": "model", "messages": HELLO, **change})
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["code"] == code and not fake.asked
    assert param is None or error["param"] == param
