import json
from typing import Any

import openai
import pytest

from convmodel.serving.service import Service
from tests.fakes import FakeResponder, some_words
from tests.serving.clients import client_of, served, service_of, until
from tests.serving.openai.helpers import CHAT, HELLO


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


def test_a_message_of_the_official_client_can_be_sent_back(client: openai.OpenAI, fake: FakeResponder) -> None:
    done = client.chat.completions.create(model="model", messages=HELLO, seed=3)
    messages = [*HELLO, done.choices[0].message, {"role": "user", "content": [{"type": "text", "text": "Why?"}]}]
    client.chat.completions.create(model="model", messages=messages)
    messages = [*HELLO, done.choices[0].message.model_dump(), {"role": "user", "content": "Why?"}]
    client.chat.completions.create(model="model", messages=messages)
    for request in fake.requests[1:]:
        assert list(request["context"]) == ["Hello!", done.choices[0].message.content, "Why?"]


def test_the_official_client_lists_the_model(client: openai.OpenAI) -> None:
    [model] = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("model", "model", "convmodel")
    assert client.models.retrieve("model") == model
    assert (model.context_length, model.max_model_len) == (None, None)  # type: ignore[attr-defined]
    with pytest.raises(openai.NotFoundError, match="this server has 'model'"):
        client.models.retrieve("gpt-9")


def test_the_official_client_raises_the_matching_errors(client: openai.OpenAI, fake: FakeResponder) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-9", messages=HELLO)
    assert (error.value.code, error.value.param) == ("model_not_found", "model")
    fake.error = RuntimeError("secret")
    with pytest.raises(openai.InternalServerError) as broken:
        client.chat.completions.create(model="model", messages=HELLO)
    assert "secret" not in str(broken.value)
    with pytest.raises(openai.APIError, match="something went wrong"):
        list(client.chat.completions.create(model="model", messages=HELLO, stream=True))


# Ends


def test_a_blocked_reply_is_a_content_filter() -> None:
    from convmodel.serving.safety.policy import Policy
    from convmodel.serving.safety.word_list import WordList

    service = Service(FakeResponder(lambda *_: "rain"), policy=Policy(words=WordList(["rain"]), say="No."))
    with client_of(service) as client:
        [choice] = client.post(CHAT, json={"model": "model", "messages": HELLO}).json()["choices"]
        streamed = client.post(CHAT, json={"model": "model", "messages": HELLO, "stream": True}).text
    assert (choice["message"]["content"], choice["finish_reason"]) == ("No.", "content_filter")
    assert '"content_filter"' in streamed and "rain" not in streamed and streamed.endswith("data: [DONE]\n\n")


def test_a_stream_is_framed_by_the_specification() -> None:
    with client_of(service_of(FakeResponder(lambda *_: "tea"))) as client:
        lines = client.post(CHAT, json={"model": "model", "messages": HELLO, "stream": True}).text.split("\n")
    assert [line[:6] for line in lines[0::2]] == ["data: "] * (len(lines) // 2) + [""]
    assert set(lines[1::2]) == {""} and lines[-3] == "data: [DONE]"
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines[0:-3:2]]
    assert deltas == [{"role": "assistant", "content": "", "refusal": None}, {"content": "tea"}, {}]


def test_several_replies_are_started_all_or_none() -> None:
    fake = FakeResponder(hold=0, capacity=2)
    service = service_of(fake, max_running=2, max_waiting=6)
    with client_of(service) as client:
        answer = client.post(CHAT, json={"model": "model", "messages": HELLO, "n": 3})
        assert answer.status_code == 429
        until(lambda: service.jobs.limit.open == 0)
        assert all(replying._cancelled.is_set() for replying in fake.running)
        body = {"model": "model", "messages": HELLO, "n": 8}
        fake.go_on.set()
        service.jobs.limit.acquire(1, owner="somebody")
        assert client.post(CHAT, json=body).json()["error"]["code"] == "queue_full"
        assert service.jobs.limit.open == 1


def test_open_replies_are_counted_for_each_user_of_a_key() -> None:
    fake = FakeResponder(hold=0)
    service = service_of(fake, open_per_user=2, deadline=0.5)
    with served(service) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as held:
        stream = held.chat.completions.create(model="model", messages=HELLO, user="anna", n=2, stream=True)
        with pytest.raises(openai.RateLimitError) as error:
            held.chat.completions.create(model="model", messages=HELLO, user="anna")
        assert error.value.code == "too_many_of_this_user"
        other = held.chat.completions.create(model="model", messages=HELLO, user="bob", stream=True)
        stream.close()
        other.close()
        until(lambda: service.jobs.limit.open == 0)


def test_names_tell_the_people_of_a_group_apart() -> None:
    fake = FakeResponder()
    messages = [
        {"role": "user", "content": "Hello", "name": "Ida"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Who comes?", "name": "Eve"},
    ]
    body: dict[str, Any] = {"model": "model", "messages": messages, "speaker": "Tom"}
    with client_of(service_of(fake)) as client:
        for changed in (body, {"model": "model", "messages": messages}):
            assert client.post(CHAT, json=changed).status_code == 200
        messages[1]["name"] = "Kim"  # another assistant than the one who replies
        assert client.post(CHAT, json=body).status_code == 200
        messages[0]["name"] = "Eve"
        assert client.post(CHAT, json={"model": "model", "messages": messages}).status_code == 200
    group = ["Ida: Hello", "Hi", "Eve: Who comes?"]
    told = ["Ida: Hello\nKim: Hi\nEve: Who comes?"]
    assert [list(request["context"]) for request in fake.requests] == [
        group,
        group,
        told,
        ["Hello", "Hi", "Who comes?"],
    ]
