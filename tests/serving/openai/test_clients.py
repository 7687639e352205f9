"""Requests as the clients that people have send them: each gets a reply to what it asked.

The bodies and headers follow the public behaviour of the clients; values are made up.
"""

import json
from collections.abc import Mapping
from typing import Any

import openai
import pytest

from convmodel.serving.ignored_fields import HEADER
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, served, service_of
from tests.serving.openai.helpers import CHAT, HELLO, PenalisedResponder

STAINLESS = {
    "x-stainless-arch": "other:browser",
    "x-stainless-lang": "js",
    "x-stainless-os": "Unknown",
    "x-stainless-package-version": "6.1.0",
    "x-stainless-retry-count": "0",
    "x-stainless-runtime": "browser:chrome",
    "x-stainless-runtime-version": "140.0.0",
    "x-stainless-timeout": "600",
}
OPENROUTER = {"http-referer": "https://app.example", "x-title": "App"}
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
PARTS = [{"role": "user", "content": [{"type": "text", "text": "Hello!"}]}]
TOOLS = [{"type": "function", "function": {"name": "get_time", "description": "the time", "parameters": {}}}]
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
HISTORY = [*HELLO, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Why?"}]

REQUESTS: dict[str, tuple[dict[str, Any], dict[str, str], str | None]] = {
    "openai-python": ({"messages": HELLO}, {"x-stainless-lang": "python", "x-stainless-async": "false"}, None),
    "openai-python, stream": ({"messages": HELLO, **USAGE}, {"x-stainless-helper-method": "stream"}, None),
    "openai-node": ({"messages": HELLO, "stream": True}, STAINLESS, None),
    "openai-node, developer": ({"messages": [{"role": "developer", "content": "Be brief."}, *HELLO]}, STAINLESS, None),
    "openai-node, history": (
        {"messages": [*HELLO, {"role": "assistant", "content": "Hi.", "refusal": None, "annotations": []}, *HELLO]},
        STAINLESS,
        None,
    ),
    "open-webui": ({"messages": HELLO, "stream": True}, {}, None),
    "open-webui, usage": (
        {"messages": [SYSTEM, *HELLO], **USAGE, "metadata": {"chat_id": "1", "variables": {}}},
        {},
        "metadata",
    ),
    "open-webui, parameters": (
        {
            "messages": HELLO,
            "stream": True,
            "keep_alive": "5m",
            "num_ctx": 2048,
            "seed": 1,
            "stop": ["###"],
            "reasoning_effort": "medium",
        },
        {},
        "num_ctx",
    ),
    "open-webui, ids": (
        {
            "messages": HELLO,
            "chat_id": "1",
            "session_id": "2",
            "id": "3",
            "background_tasks": {"title_generation": True},
            "features": {"web_search": False},
        },
        {},
        "chat_id",
    ),
    "open-webui, title": (
        {"messages": HELLO, "stream": False, "max_completion_tokens": 1000},
        {},
        "max_completion_tokens",
    ),
    "LibreChat": (
        {
            "messages": [SYSTEM, *HELLO],
            "stream": True,
            "user": "65f0c0ffee",
            "temperature": 1,
            "top_p": 1,
            "presence_penalty": 0,
            "frequency_penalty": 0,
        },
        OPENROUTER,
        None,
    ),
    "LibreChat, agents": (
        {"messages": [{"role": "user", "content": "Hello!", "name": "user"}], **USAGE, "tools": []},
        OPENROUTER,
        "messages[0].name",
    ),
    "LibreChat, title": ({"messages": HELLO, "temperature": 0.2, "max_tokens": 16, "n": 1, "stream": False}, {}, None),
    "Continue": ({"messages": HISTORY, "max_tokens": 4096, "stream": True}, {"user-agent": "Continue"}, "max_tokens"),
    "Continue, agent": (
        {"messages": PARTS, "max_tokens": 2048, "stream": True, "tools": TOOLS, "parallel_tool_calls": False},
        {},
        "tools",
    ),
    "Continue, stops": (
        {
            "messages": HELLO,
            "stop": ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>", "<|endoftext|>", "</fim_middle>"],
        },
        {},
        None,
    ),
    "LangChain": (
        {"messages": HELLO, "temperature": 0.7, "n": 1, "stream": False},
        {"x-stainless-lang": "python"},
        None,
    ),
    "LangChain, null": (
        {
            "messages": HELLO,
            "temperature": None,
            "max_tokens": None,
            "stop": None,
            "logprobs": None,
            "top_logprobs": None,
            "seed": None,
        },
        {},
        None,
    ),
    "LangChain, tools": (
        {
            "messages": [
                *HELLO,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "1", "content": "5"},
                *HELLO,
            ],
            "tools": TOOLS,
            "tool_choice": "auto",
        },
        {},
        "messages (2 of tools)",
    ),
    "LangChain.js": (
        {"messages": HELLO, "model_kwargs": {}, "max_tokens": -1, "stream": False},
        STAINLESS,
        "model_kwargs",
    ),
    "LlamaIndex": ({"messages": HELLO, "temperature": 0.1, "stream": True, "max_tokens": None}, {}, None),
    "SillyTavern": (
        {
            "messages": [SYSTEM, *HISTORY],
            "temperature": 1,
            "max_tokens": 300,
            "stream": True,
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "top_p": 1,
            "stop": [],
            "logit_bias": {},
        },
        {},
        None,
    ),
    "SillyTavern, custom": (
        {
            "messages": HELLO,
            "top_k": -1,
            "min_p": 0.05,
            "repetition_penalty": 1.1,
            "seed": -1,
            "n": 1,
            "max_tokens": 300,
            "chat_template_kwargs": {"enable_thinking": False},
        },
        {},
        "chat_template_kwargs",
    ),
    "SillyTavern, stops": ({"messages": HELLO, "stop": [f"\nName{number}:" for number in range(16)]}, {}, None),
    "Chatbox": (
        {"messages": [{**SYSTEM, "id": "a"}, *PARTS], "temperature": 0.7, "stream": True, "max_tokens": 4096},
        OPENROUTER,
        "messages[0].id",
    ),
    "Vercel AI SDK": ({"messages": PARTS, "temperature": 0, "max_tokens": 20, **USAGE, "store": False}, {}, None),
    "LiteLLM": (
        {"messages": HELLO, "user": "anna", "extra_headers": {"a": "b"}, "drop_params": True},
        {},
        "extra_headers",
    ),
    "Home Assistant": (
        {
            "messages": [SYSTEM, *HELLO],
            "max_tokens": 150,
            "top_p": 1.0,
            "temperature": 1.0,
            "user": "01HX",
            "tools": TOOLS,
        },
        {},
        "tools",
    ),
    "Cline": (
        {"messages": [SYSTEM, *PARTS], "temperature": 0, **USAGE, "reasoning_effort": "low"},
        OPENROUTER,
        "reasoning_effort",
    ),
    "Jan": (
        {
            "messages": HELLO,
            "stream": True,
            "temperature": 0.7,
            "top_p": 0.95,
            "max_tokens": 8192,
            "stop": [],
            "frequency_penalty": 0.7,
            "presence_penalty": 0.7,
            "engine": "remote",
        },
        {},
        "engine",
    ),
    "Zed": (
        {
            "messages": HELLO,
            **USAGE,
            "max_completion_tokens": 50,
            "stop": [],
            "temperature": 1.0,
            "prompt_cache_key": "thread",
            "service_tier": "priority",
        },
        {},
        "prompt_cache_key",
    ),
    "Obsidian Copilot": (
        {
            "messages": HELLO,
            "stream": True,
            "stream_options": {"include_usage": True, "include_obfuscation": False},
            "verbosity": "medium",
        },
        STAINLESS,
        "stream_options.include_obfuscation",
    ),
}
"""Bodies without the model, headers, and a name that the header of ignored fields has; None for no header."""


class Anything(PenalisedResponder):
    """A fake with every option that these clients set."""

    options: Mapping[str, Any] = {**PenalisedResponder.options, "min_p": None, "repetition_penalty": None}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_of_a_known_client_gets_a_reply(name: str) -> None:
    body, headers, ignored = REQUESTS[name]
    fake = Anything()
    with client_of(service_of(fake, origins=("https://app.example",))) as client:
        answer = client.post(CHAT, json={"model": "model", **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    if body.get("stream"):
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        assert json.loads(answer.text)["choices"][0]["message"]["content"]
    assert fake.requests[0]["context"][0].startswith("Hello!")
    named = answer.headers.get(HEADER)
    assert named is None if ignored is None else ignored in str(named)


def test_the_official_client_sees_the_header_and_other_fields_reach_the_sampler() -> None:
    fake = Anything()
    extra = {"top_k": 7, "min_p": 0.1, "repetition_penalty": 1.2, "seed": -1, "chat_id": "1"}
    with (
        served(service_of(fake)) as address,
        openai.OpenAI(base_url=f"{address}/v1//", api_key="any", max_retries=0) as client,
    ):
        raw = client.chat.completions.with_raw_response.create(model="model", messages=HELLO, extra_body=extra)
        assert [model.id for model in client.models.list().data] == ["model"]
    assert raw.headers[HEADER] == "chat_id" and raw.parse().choices[0].message.content
    assert fake.requests[0]["options"] == {"top_k": 7, "min_p": 0.1, "repetition_penalty": 1.2}


def test_fields_without_an_option_of_the_responder_are_ignored_and_named() -> None:
    fake = FakeResponder()
    body = {"model": "model", "messages": HELLO, "top_p": 0.5, "stop": "a", "max_tokens": 5, "temperature": 0.5}
    with client_of(service_of(fake)) as client:
        answer = client.post(CHAT, json=body)
    assert answer.status_code == 200 and answer.headers[HEADER] == "top_p, stop, max_tokens"
    assert fake.requests[0]["options"] == {"do_sample": True, "temperature": 0.5}
