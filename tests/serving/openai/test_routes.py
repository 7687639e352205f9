import json
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest

from convmodel.serving.service import new_service
from convmodel.serving.settings import Settings
from tests.fakes import FakeResponder, some_words
from tests.serving.clients import client_of, served, service_of, until

HELLO: list[Any] = [{"role": "user", "content": "Hello!"}]
CHAT = "/v1/chat/completions"


class PenalisedResponder(FakeResponder):
    """A fake that knows all that OpenAI's fields come to."""

    options: Mapping[str, Any] = {
        **FakeResponder.options,
        **dict.fromkeys(("stop_strings", "max_new_tokens", "frequency_penalty", "presence_penalty", "top_p")),
    }


@pytest.fixture
def fake() -> PenalisedResponder:
    return PenalisedResponder(seconds=0.001)


@pytest.fixture
def client(fake: FakeResponder) -> Iterator[openai.OpenAI]:
    with served(service_of(fake, new_tokens=50)) as address:
        yield openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)


def reply_of(fake: FakeResponder, context: list[str], seed: int, **options: Any) -> str:
    return some_words(tuple(context), seed, {**fake.options, **options})


# With the official client


def test_the_official_client_gets_the_reply_and_its_usage(client: openai.OpenAI, fake: FakeResponder) -> None:
    done = client.chat.completions.create(model="model", messages=HELLO, seed=3)
    [choice] = done.choices
    assert choice.message.content == reply_of(fake, ["Hello!"], 3) and choice.message.role == "assistant"
    assert choice.finish_reason == "stop" and choice.index == 0
    assert done.object == "chat.completion" and done.model == "model" and done.id.startswith("chatcmpl-")
    assert done.usage is not None and done.usage.prompt_tokens == 2
    assert done.usage.completion_tokens == len(str(choice.message.content).split())
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert done.usage.prompt_tokens_details is not None and done.usage.prompt_tokens_details.cached_tokens == 0


def test_the_official_client_reads_a_stream(client: openai.OpenAI, fake: FakeResponder) -> None:
    chunks = list(
        client.chat.completions.create(
            model="model", messages=HELLO, seed=12, stream=True, stream_options={"include_usage": True}
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    *said, usage = chunks
    assert usage.choices == [] and usage.usage is not None and usage.usage.prompt_tokens == 2
    deltas = [chunk.choices[0].delta for chunk in said]
    assert deltas[0].role == "assistant" and all(delta.role is None for delta in deltas[1:])
    assert "".join(delta.content or "" for delta in deltas) == reply_of(fake, ["Hello!"], 12)
    assert [chunk.choices[0].finish_reason for chunk in said] == [None] * (len(said) - 1) + ["stop"]
    assert all(chunk.usage is None for chunk in said)


def test_the_official_client_streams_several_replies_at_once(client: openai.OpenAI, fake: FakeResponder) -> None:
    texts, over = ["", "", ""], [""] * 3
    for chunk in client.chat.completions.create(model="model", messages=HELLO, seed=3, n=3, stream=True):
        [choice] = chunk.choices
        assert not over[choice.index]
        texts[choice.index] += choice.delta.content or ""
        over[choice.index] = choice.finish_reason or ""
    assert texts == [reply_of(fake, ["Hello!"], seed) for seed in (3, 4, 5)] and over == ["stop"] * 3
    done = client.chat.completions.create(model="model", messages=HELLO, seed=3, n=3)
    assert [choice.message.content for choice in done.choices] == texts
    assert done.usage is not None and done.usage.prompt_tokens == 2
    assert done.usage.completion_tokens == sum(len(text.split()) for text in texts)


def test_every_field_that_is_honoured_becomes_an_option(client: openai.OpenAI, fake: FakeResponder) -> None:
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
    first, second, third = [dict(asked["options"]) for asked in fake.asked]
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


def test_what_a_client_sends_that_asks_for_nothing_is_no_error(client: openai.OpenAI, fake: FakeResponder) -> None:
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


def test_the_answer_of_the_official_client_can_be_sent_back(client: openai.OpenAI, fake: FakeResponder) -> None:
    done = client.chat.completions.create(model="model", messages=HELLO, seed=3)
    messages = [*HELLO, done.choices[0].message, {"role": "user", "content": [{"type": "text", "text": "Why?"}]}]
    client.chat.completions.create(model="model", messages=messages)
    messages = [*HELLO, done.choices[0].message.model_dump(), {"role": "user", "content": "Why?"}]
    client.chat.completions.create(model="model", messages=messages)
    for asked in fake.asked[1:]:
        assert list(asked["context"]) == ["Hello!", done.choices[0].message.content, "Why?"]


def test_the_official_client_lists_the_model(client: openai.OpenAI) -> None:
    [model] = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("model", "model", "convmodel")
    assert client.models.retrieve("model") == model
    with pytest.raises(openai.NotFoundError, match="this server has 'model'"):
        client.models.retrieve("gpt-9")


def test_the_official_client_raises_what_it_should(client: openai.OpenAI, fake: FakeResponder) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-9", messages=HELLO)
    assert (error.value.code, error.value.param) == ("model_not_found", "model")
    fake.error = RuntimeError("secret")
    with pytest.raises(openai.InternalServerError) as broken:
        client.chat.completions.create(model="model", messages=HELLO)
    assert "secret" not in str(broken.value)
    with pytest.raises(openai.APIError, match="something went wrong"):
        list(client.chat.completions.create(model="model", messages=HELLO, stream=True))


# Messages


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
    assert (list(fake.asked[0]["persona"]), list(fake.asked[0]["context"])) == (persona, context)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "system", "content": "a"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages.0.role", "invalid_value"),
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
def test_what_is_not_honoured_is_an_error(change: dict[str, Any], param: str | None, code: str) -> None:
    fake = FakeResponder()
    with client_of(service_of(fake)) as client:
        answer = client.post(CHAT, json={"model": "model", "messages": HELLO, **change})
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["code"] == code and not fake.asked
    assert param is None or error["param"] == param


# Ends


@pytest.mark.parametrize(("finish", "reason"), [("end", "stop"), ("stop", "stop"), ("length", "length")])
def test_the_finish_reason_is_that_of_the_reply(finish: str, reason: str) -> None:
    from convmodel.responders.protocol import Candidate, Reply
    from convmodel.serving.openai.translate import convert_finish_reason
    from convmodel.serving.reply_jobs import CheckedReply

    assert convert_finish_reason(CheckedReply(Reply((Candidate("a"),), finish=finish))) == reason  # type: ignore[arg-type]


def test_a_blocked_reply_is_a_content_filter() -> None:
    from convmodel.serving.safety.policy import Policy
    from convmodel.serving.safety.word_list import WordList

    service = new_service(FakeResponder(lambda *_: "rain"), policy=Policy(words=WordList(["rain"]), say="No."))
    with client_of(service) as client:
        [choice] = client.post(CHAT, json={"model": "model", "messages": HELLO}).json()["choices"]
        streamed = client.post(CHAT, json={"model": "model", "messages": HELLO, "stream": True}).text
    assert (choice["message"]["content"], choice["finish_reason"]) == ("No.", "content_filter")
    assert '"content_filter"' in streamed and "rain" not in streamed and streamed.endswith("data: [DONE]\n\n")


def test_a_stream_is_framed_as_the_specification_says() -> None:
    with client_of(service_of(FakeResponder(lambda *_: "tea"))) as client:
        lines = client.post(CHAT, json={"model": "model", "messages": HELLO, "stream": True}).text.split("\n")
    assert [line[:6] for line in lines[0::2]] == ["data: "] * (len(lines) // 2) + [""]
    assert set(lines[1::2]) == {""} and lines[-3] == "data: [DONE]"
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines[0:-3:2]]
    assert deltas == [{"role": "assistant", "content": "", "refusal": None}, {"content": "tea"}, {}]


def test_when_one_of_several_replies_finds_no_place_none_is_made() -> None:
    fake = FakeResponder(hold=0, capacity=2)
    service = service_of(fake, max_running=2, max_waiting=6)
    with client_of(service) as client:
        answer = client.post(CHAT, json={"model": "model", "messages": HELLO, "n": 3})
        assert answer.status_code == 429
        until(lambda: service.jobs.limit.open == 0)
        assert all(replying._cancelled.is_set() for replying in fake.running)
        body = {"model": "model", "messages": HELLO, "n": 8}
        fake.go_on.set()
        service.jobs.acquire(1, owner="somebody")
        assert client.post(CHAT, json=body).json()["error"]["code"] == "queue_full"
        assert service.jobs.limit.open == 1


def test_open_replies_are_counted_for_each_user_of_a_key() -> None:
    fake = FakeResponder(hold=0)
    service = service_of(fake, open_per_user=2, deadline=0.5)
    with served(service) as address:
        held = openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)
        stream = held.chat.completions.create(model="model", messages=HELLO, user="anna", n=2, stream=True)
        with pytest.raises(openai.RateLimitError) as error:
            held.chat.completions.create(model="model", messages=HELLO, user="anna")
        assert error.value.code == "too_many_of_this_user"
        other = held.chat.completions.create(model="model", messages=HELLO, user="bob", stream=True)
        stream.close()
        other.close()
        until(lambda: service.jobs.limit.open == 0)


def test_the_sampling_of_the_server_never_stands_in_the_way_of_temperature_0() -> None:
    fake = PenalisedResponder()
    service = new_service(fake, options={"num_return_sequences": 4}, settings=Settings())
    with client_of(service) as client:
        body = {"model": "model", "messages": HELLO, "temperature": 0}
        assert client.post(CHAT, json=body).status_code == 200
    assert fake.asked[0]["options"] == {"num_return_sequences": 1, "do_sample": False}
