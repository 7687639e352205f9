"""Completions with the official client: documents, and replies to plain prompts."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from convmodel.responders.writer import DocumentWriter
from convmodel.serving.safety.policy import Policy
from convmodel.serving.safety.word_list import WordList
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from convmodel.tokens.document_tokenizer import DocumentTokenizer
from tests.fakes import FakeDocuments, FakeResponder, some_words
from tests.models.documents import RUSSIAN, make
from tests.serving.clients import client_of, error_of, served, service_of, until
from tests.serving.openai.helpers import PenalisedResponder
from tests.serving.selectors import FakeSelector

COMPLETIONS = "/v1/completions"
BODY: dict[str, Any] = {"model": "model", "prompt": "Once"}


@pytest.fixture
def writer() -> Iterator[DocumentWriter]:
    with DocumentWriter(make(DocumentTokenizer.learn(RUSSIAN * 3, 360))) as writer:
        yield writer


@pytest.fixture
def documents(writer: DocumentWriter) -> Iterator[openai.OpenAI]:
    with (
        served(Service(writer=writer)) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


@pytest.fixture
def fake() -> PenalisedResponder:
    return PenalisedResponder(seconds=0.001)


@pytest.fixture
def client(fake: FakeResponder) -> Iterator[openai.OpenAI]:
    with (
        served(service_of(fake, new_tokens=50)) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


@pytest.mark.parametrize("prompt", ["", " ", ["a", "\n"]])
def test_an_empty_prompt_is_refused_where_nothing_but_replies_is_there(prompt: Any) -> None:
    with client_of(service_of()) as client:
        error = error_of(client.post(COMPLETIONS, json=BODY | {"prompt": prompt}), 400)
    assert error["param"] == "prompt" and error["message"].startswith("prompt: a prompt is empty")


def test_the_official_client_gets_the_documents_of_the_writer(documents: openai.OpenAI, writer: DocumentWriter) -> None:
    done = documents.completions.create(model="model", prompt=["Once", "Two"], n=2, seed=5, max_tokens=8)
    expected = [
        writer.start(prompt, seed=seed, options={"max_new_tokens": 8}).result()
        for prompt in ("Once", "Two")
        for seed in (5, 6)
    ]
    assert [choice.text for choice in done.choices] == [output.texts[0] for output in expected]
    assert [choice.index for choice in done.choices] == [0, 1, 2, 3]
    reasons = {"end": "stop", "length": "length"}
    assert [choice.finish_reason for choice in done.choices] == [reasons[output.finishes[0]] for output in expected]
    assert (done.object, done.model) == ("text_completion", "model") and done.id.startswith("cmpl-")
    assert done.usage is not None and done.usage.prompt_tokens == expected[0].tokens_read + expected[2].tokens_read
    assert done.usage.completion_tokens == sum(output.tokens[0] for output in expected)


def test_the_pieces_of_a_stream_join_to_the_texts(documents: openai.OpenAI) -> None:
    same: dict[str, Any] = {"model": "model", "prompt": "Once", "n": 2, "seed": 5, "max_tokens": 12}
    texts, ends = ["", ""], [""] * 2
    usage = None
    for chunk in documents.completions.create(**same, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            ends[choice.index] = choice.finish_reason or ""
    whole = documents.completions.create(**same)
    assert texts == [choice.text for choice in whole.choices]
    assert ends == [choice.finish_reason for choice in whole.choices] and usage == whole.usage


def test_a_model_that_replies_takes_the_prompt_as_the_only_turn(client: openai.OpenAI, fake: FakeResponder) -> None:
    done = client.completions.create(
        model="model", prompt="Hello!", seed=3, stop="x", temperature=0.5, max_tokens=7, echo=True
    )
    [request] = fake.requests
    options = {"do_sample": True, "temperature": 0.5, "stop_strings": ["x"], "max_new_tokens": 7}
    assert (list(request["context"]), request["options"]) == (["Hello!"], options)
    assert done.choices[0].text == "Hello!" + some_words(("Hello!",), 3, {**fake.options, **options})
    streamed = client.completions.create(model="model", prompt="Hello!", seed=3, echo=True, stream=True)
    text = "".join(choice.text for chunk in streamed for choice in chunk.choices)
    assert text == "Hello!" + some_words(("Hello!",), 3, fake.options)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"prompt": [1, 2]}, "prompt", "unsupported_parameter"),
        ({"prompt": [[1], [2]]}, "prompt", "unsupported_parameter"),
        ({"prompt": []}, "prompt", "invalid_value"),
        ({"prompt": ["a"] * 3}, "prompt", "too_much"),
        ({"prompt": "a" * 31}, None, "too_much"),
        ({"n": 9}, "n", "too_much"),
        ({"best_of": 3, "n": 2}, "best_of", "unsupported_parameter"),
        ({"logprobs": 0}, "logprobs", "unsupported_parameter"),
        ({"suffix": "b"}, "suffix", "unsupported_parameter"),
        ({"logit_bias": {"5": 1}}, "logit_bias", "unsupported_parameter"),
    ],
    ids=str,
)
def test_unsupported_fields_are_refused(change: dict[str, Any], param: str | None, code: str) -> None:
    fake = FakeResponder()
    service = Service(fake, settings=Settings(texts=2, turn_chars=30))
    with client_of(service) as client:
        error = error_of(client.post(COMPLETIONS, json={**BODY, **change}), 400)
    assert error["code"] == code and not fake.requests and (param is None or error["param"].startswith(param))


def test_blocked_prompts_and_texts_are_content_filters() -> None:
    policy = Policy(words=WordList(["cat", "rain"]), say="No.")
    with client_of(Service(writer=FakeDocuments(), policy=policy)) as client:
        for prompt in ("Once", "The rain"):  # the text of the fake has a cat
            [choice] = client.post(COMPLETIONS, json={**BODY, "prompt": prompt}).json()["choices"]
            assert (choice["text"], choice["finish_reason"]) == ("", "content_filter")
        streamed = client.post(COMPLETIONS, json={**BODY, "stream": True}).text
    assert "cat" not in streamed and '"content_filter"' in streamed and streamed.endswith("data: [DONE]\n\n")


def test_texts_are_started_all_or_none() -> None:
    fake = FakeResponder(hold=0, capacity=2)
    service = service_of(fake)
    with client_of(service) as client:
        assert client.post(COMPLETIONS, json={**BODY, "prompt": ["a", "b", "c"]}).status_code == 429
        until(lambda: service.jobs.limit.open == 0)


def test_a_server_that_does_not_write_says_how_to_start_one() -> None:
    with client_of(Service(selector=FakeSelector())) as client:
        error = error_of(client.post(COMPLETIONS, json=BODY), 404)
        assert "start the server with --documents or --model" in error["message"]
