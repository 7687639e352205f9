"""Translation of messages, options and finish reasons."""

import openai
import pytest

from convmodel.responders.protocol import Candidate, Reply
from convmodel.serving.openai.schemas import Choice, Extras
from convmodel.serving.openai.translate import build_message
from convmodel.serving.reply_jobs import CheckedReply
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, service_of
from tests.serving.openai.helpers import CHAT, HELLO, PenalisedResponder


def test_every_supported_field_becomes_an_option(client: openai.OpenAI, fake: FakeResponder) -> None:
    client.chat.completions.create(
        model="model",
        messages=HELLO,
        temperature=0.5,
        top_p=0.8,
        stop=["a", "b"],
        max_completion_tokens=20,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        extra_body={"preset": "bold", "options": {"top_k": 7}},
    )
    client.chat.completions.create(model="model", messages=HELLO, temperature=0, max_tokens=50, stop="a")
    client.chat.completions.create(model="model", messages=HELLO, max_tokens=50, max_completion_tokens=7)
    first, second, third = [dict(request["options"]) for request in fake.requests]
    assert third == {"max_new_tokens": 7}
    assert first == {
        "do_sample": True,
        "temperature": 0.5,
        "top_p": 0.8,
        "top_k": 7,
        "stop_strings": ["a", "b"],
        "max_new_tokens": 20,
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
    }
    assert second == {"do_sample": False, "max_new_tokens": 50, "stop_strings": ["a"]}


@pytest.mark.parametrize(
    ("messages", "persona", "context"),
    [
        ([("user", "a")], [], ["a"]),
        ([("system", " i am old .\n\n i like tea . "), ("user", "a")], ["i am old .", "i like tea ."], ["a"]),
        ([("system", "x"), ("developer", "y"), ("user", "a")], ["x", "y"], ["a"]),
        ([("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")], [], ["a\nb", "c", "d"]),
        ([("assistant", "c"), ("assistant", "d"), ("user", "a")], [], ["c\nd", "a"]),
        ([("user", "a"), ("system", "x"), ("assistant", "b"), ("system", "y")], ["x", "y"], ["a", "b"]),
        ([("user", "a"), ("system", "x"), ("user", "b")], ["x"], ["a\nb"]),
    ],
)
def test_messages_become_persona_and_context(
    messages: list[tuple[str, str]], persona: list[str], context: list[str]
) -> None:
    fake = FakeResponder()
    with client_of(service_of(fake)) as client:
        body = {"model": "model", "messages": [{"role": role, "content": content} for role, content in messages]}
        assert client.post(CHAT, json=body).status_code == 200
    assert (list(fake.requests[0]["persona"]), list(fake.requests[0]["context"])) == (persona, context)


@pytest.mark.parametrize(("finish", "reason"), [("end", "stop"), ("stop", "stop"), ("length", "length")])
def test_the_finish_reason_is_that_of_the_reply(finish: str, reason: str) -> None:
    from convmodel.responders.protocol import Candidate, Reply
    from convmodel.serving.openai.translate import convert_finish_reason
    from convmodel.serving.reply_jobs import CheckedReply

    assert convert_finish_reason(CheckedReply(Reply((Candidate("a"),), finish=finish))) == reason  # type: ignore[arg-type]


def test_temperature_0_overrides_the_servers_sampling() -> None:
    fake = PenalisedResponder()
    service = Service(fake, options={"num_return_sequences": 4}, settings=Settings())
    with client_of(service) as client:
        body = {"model": "model", "messages": HELLO, "temperature": 0}
        assert client.post(CHAT, json=body).status_code == 200
    assert fake.requests[0]["options"] == {"num_return_sequences": 1, "do_sample": False}


def test_reasoning_is_a_field_of_its_message_where_there_is_any() -> None:
    plain = build_message(CheckedReply(Reply((Candidate("Hi"),))))
    assert plain.model_dump() == {"role": "assistant", "content": "Hi", "refusal": None}
    reasoned = build_message(CheckedReply(Reply((Candidate("Hi"),), reasoning="It is a greeting.")))
    assert reasoned.model_dump() == plain.model_dump() | {"reasoning_content": "It is a greeting."}
    choice = Choice(
        index=0,
        message=reasoned,
        finish_reason="stop",
        convmodel=Extras(seed=None, window=0, turns_dropped=0, tokens_dropped=0, candidates=1, blocked=False),
    )
    assert choice.model_dump()["message"] == reasoned.model_dump()
