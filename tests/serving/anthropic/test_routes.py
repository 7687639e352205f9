"""Messages with the official client of Anthropic."""

import json
from collections.abc import Iterator
from typing import Any, cast

import anthropic
import pytest

from convmodel.responders.protocol import Candidate, Reply
from convmodel.responders.writer import Writer
from convmodel.serving.anthropic.routes import usage_of
from convmodel.serving.auth import Keys
from convmodel.serving.reply_jobs import CheckedReply
from convmodel.serving.safety.policy import Policy
from convmodel.serving.safety.word_list import WordList
from convmodel.serving.service import Service
from convmodel.serving.store.keys import digest
from tests.conftest import MakeModel
from tests.fakes import FakeDocuments, FakeResponder, some_words
from tests.serving.clients import client_of, events_of, served, service_of, until
from tests.serving.openai.helpers import HELLO, PenalisedResponder

MESSAGES = "/v1/messages"
BODY: dict[str, Any] = {"model": "model", "max_tokens": 20, "messages": HELLO}


@pytest.fixture
def fake() -> PenalisedResponder:
    return PenalisedResponder(seconds=0.001)


@pytest.fixture
def client(fake: FakeResponder) -> Iterator[anthropic.Anthropic]:
    with (
        served(service_of(fake, new_tokens=50)) as address,
        anthropic.Anthropic(base_url=address, api_key="any", max_retries=0) as client,
    ):
        yield client


def test_the_official_client_gets_the_reply_and_its_usage(client: anthropic.Anthropic, fake: FakeResponder) -> None:
    message = client.messages.create(**BODY, extra_body={"seed": 3, "temperature": 0.5})
    [block] = message.content
    assert block.type == "text" and block.text
    options = dict(fake.requests[0]["options"])
    assert options == {"do_sample": True, "temperature": 0.5, "max_new_tokens": 20}
    assert block.text == some_words(("Hello!",), 3, {**fake.options, **options})
    assert (message.role, message.type, message.model) == ("assistant", "message", "model")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None) and message.id.startswith("msg_")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (2, len(block.text.split()))


def test_the_official_client_reads_a_stream(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(**BODY, extra_body={"seed": 3}).content[0]
    with client.messages.stream(**BODY, extra_body={"seed": 3}) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == getattr(whole, "text", "") == getattr(final.content[0], "text", "") and len(pieces) > 1
    words = "".join(pieces).split()  # of which several may be sent in one piece
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 2, len(words))


def test_the_events_of_a_stream_are_those_of_the_specification() -> None:
    with client_of(service_of(PenalisedResponder(lambda *_: "tea"))) as client:
        events = events_of(client.post(MESSAGES, json={**BODY, "stream": True}).text)
    assert [name for name, _ in events] == [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    bodies = [json.loads(data) for _, data in events]
    assert [body["type"] for body in bodies] == [name for name, _ in events]
    assert bodies[0]["message"]["content"] == [] and bodies[0]["message"]["stop_reason"] is None
    assert bodies[2] == {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "tea"},
    }
    assert bodies[4]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert bodies[4]["usage"] == {"input_tokens": 2, "cache_read_input_tokens": 0, "output_tokens": 1}


def test_system_text_and_blocks_become_persona_and_turns(client: anthropic.Anthropic, fake: FakeResponder) -> None:
    cached: Any = {"type": "text", "text": "I like tea.", "cache_control": {"type": "ephemeral"}}
    turns: Any = [
        {"role": "user", "content": [{"type": "text", "text": "Hello!"}, {"type": "text", "text": "You?"}]},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Why?"},
    ]
    for system in ("I am old.\nI like tea.", [{"type": "text", "text": "I am old."}, cached]):
        client.messages.create(model="model", max_tokens=5, system=system, messages=turns)
        assert list(fake.requests[-1]["persona"]) == ["I am old.", "I like tea."]
        assert list(fake.requests[-1]["context"]) == ["Hello!\nYou?", "Hi.", "Why?"]


def test_every_field_becomes_an_option_and_max_tokens_is_clamped(
    client: anthropic.Anthropic, fake: FakeResponder
) -> None:
    client.messages.create(**{**BODY, "max_tokens": 8_000}, extra_body={"temperature": 0}, stop_sequences=["a", "b"])
    client.messages.create(**BODY, extra_body={"top_k": 7, "top_p": 0.8}, metadata={"user_id": "anna"})
    first, second = [dict(request["options"]) for request in fake.requests]
    assert first == {"do_sample": False, "max_new_tokens": 50, "stop_strings": ["a", "b"]}
    assert second == {"top_k": 7, "top_p": 0.8, "max_new_tokens": 20}


def test_the_official_client_raises_the_matching_errors(client: anthropic.Anthropic, fake: FakeResponder) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(**{**BODY, "model": "claude"})
    assert missing.value.type == "not_found_error" and missing.value.request_id
    image: Any = {"type": "image", "source": {"type": "url", "url": "http://x"}}
    with pytest.raises(anthropic.BadRequestError, match="image blocks are not supported") as refused:
        client.messages.create(**{**BODY, "messages": [{"role": "user", "content": [image]}]})
    assert refused.value.type == "invalid_request_error"
    with pytest.raises(anthropic.BadRequestError, match="tool_choice"):
        client.messages.create(**BODY, tool_choice={"type": "any"})
    fake.error = RuntimeError("secret")
    with pytest.raises(anthropic.InternalServerError) as broken:
        client.messages.create(**BODY)
    assert broken.value.type == "api_error" and "secret" not in str(broken.value)
    with (
        pytest.raises(anthropic.APIStatusError, match="something went wrong"),
        client.messages.stream(**BODY) as stream,
    ):
        stream.until_done()


def test_the_key_is_read_from_the_header_of_anthropics_clients() -> None:
    keys = Keys(lambda: {digest("cm-key"): "anna"})
    with served(Service(PenalisedResponder(), keys=keys)) as address:
        given: list[dict[str, str]] = [{"api_key": "cm-key"}, {"auth_token": "cm-key"}]
        for key in given:
            with anthropic.Anthropic(base_url=address, max_retries=0, **cast(Any, key)) as client:
                client.messages.create(**BODY)
        with (
            anthropic.Anthropic(base_url=address, api_key="wrong", max_retries=0) as client,
            pytest.raises(anthropic.AuthenticationError) as error,
        ):
            client.messages.create(**BODY)
    assert error.value.type == "authentication_error"


def test_ends_of_replies_become_stop_reasons() -> None:
    policy = Policy(words=WordList(["rain"]), say="No.")
    with client_of(Service(PenalisedResponder(lambda *_: "rain"), policy=policy)) as client:
        blocked = client.post(MESSAGES, json=BODY).json()
    assert blocked["stop_reason"] == "refusal" and blocked["content"] == [{"type": "text", "text": "No."}]
    reply = Reply((Candidate("a"),), context_tokens=9, cached_tokens=4, reply_tokens=2)
    assert usage_of(CheckedReply(reply)).model_dump() == {
        "input_tokens": 5,
        "cache_read_input_tokens": 4,
        "output_tokens": 2,
    }


def test_the_official_client_counts_tokens(make_model: MakeModel) -> None:
    with (
        Writer(make_model()) as writer,
        served(Service(writer)) as address,
        anthropic.Anthropic(base_url=address, api_key="any", max_retries=0) as client,
    ):
        counted = client.messages.count_tokens(model="model", system="I am old.\nI like tea.", messages=HELLO)
        used = client.messages.create(**BODY, system="I am old.\nI like tea.").usage
        assert (
            counted.input_tokens == used.input_tokens == writer.count_tokens(["Hello!"], ["I am old.", "I like tea."])
        )
    with client_of(service_of()) as plain:
        answer = plain.post(f"{MESSAGES}/count_tokens", json={"model": "model", "messages": HELLO})
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "no_tokens"


def test_fields_that_change_nothing_are_ignored_and_named() -> None:
    with client_of(service_of(PenalisedResponder())) as client:
        body = {**BODY, "tools": [{"name": "x"}], "tool_choice": {"type": "auto"}, "thinking": {"type": "adaptive"}}
        answer = client.post(MESSAGES, json=body, headers={"anthropic-version": "2023-06-01"})
    assert answer.status_code == 200
    assert set(answer.headers["x-convmodel-ignored"].split(", ")) == {"tools", "thinking"}


def test_a_server_that_does_not_reply_says_how_to_start_one() -> None:
    with client_of(Service(writer=FakeDocuments())) as client:
        answer = client.post(MESSAGES, json=BODY)
    assert answer.status_code == 404 and answer.json()["type"] == "error"
    assert "start the server with --model" in answer.json()["error"]["message"]


def test_a_stream_that_is_left_frees_its_place() -> None:
    fake = PenalisedResponder(hold=1)
    service = service_of(fake)
    with (
        served(service) as address,
        anthropic.Anthropic(base_url=address, api_key="any", max_retries=0) as client,
    ):
        with client.messages.stream(**BODY) as stream:
            next(iter(stream.text_stream))
        until(lambda: service.jobs.limit.open == 0)
