"""Limits of chat completions with a real model: tokens of a reply, and a system text that the window cannot hold."""

from collections.abc import Iterator
from typing import Any

import pytest

from convmodel.responders.writer import Writer
from convmodel.serving.ignored_fields import HEADER
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from tests.conftest import MakeModel
from tests.serving.clients import client_of
from tests.serving.openai.helpers import CHAT, HELLO


@pytest.fixture
def writer(make_model: MakeModel) -> Iterator[Writer]:
    with Writer(make_model(n_positions=64, ending=-5.0)) as writer:
        yield writer


def ask(writer: Writer, **fields: Any) -> tuple[Any, Any]:
    """Return the choice of a chat completion, with its number of tokens as `written`, and the header."""
    with client_of(Service(writer, settings=Settings(new_tokens=50, strict=fields.pop("strict", False)))) as client:
        answer = client.post(CHAT, json={"model": "model", "messages": HELLO, "seed": 1, **fields})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return {**body["choices"][0], "written": body["usage"]["completion_tokens"]}, answer.headers.get(HEADER)


@pytest.mark.parametrize(
    ("fields", "written", "header"),
    [
        ({"max_tokens": 50}, 50, None),
        ({"max_tokens": 4096}, 50, "max_tokens (above 50)"),
        ({"max_tokens": 4096, "max_completion_tokens": 7}, 7, None),
        ({"max_tokens": -1, "max_completion_tokens": 7}, 7, None),
        ({"max_completion_tokens": 51}, 50, "max_completion_tokens (above 50)"),
        ({"max_tokens": -1}, 32, None),
        ({"max_tokens": None}, 32, None),
    ],
)
def test_more_tokens_than_allowed_are_clamped(
    writer: Writer, fields: dict[str, Any], written: int, header: str | None
) -> None:
    choice, named = ask(writer, **fields)
    assert (choice["written"], choice["finish_reason"], named) == (written, "length", header)


def test_more_tokens_than_the_window_holds_leave_half_of_it_to_the_context(writer: Writer) -> None:
    with client_of(Service(writer)) as client:
        answer = client.post(CHAT, json={"model": "model", "messages": HELLO, "max_tokens": 100_000})
    assert answer.json()["usage"]["completion_tokens"] == 32 and answer.headers[HEADER] == "max_tokens (above 32)"
    with client_of(Service(writer, settings=Settings(strict=True))) as client:
        answer = client.post(CHAT, json={"model": "model", "messages": HELLO, "max_tokens": 100_000})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "max_tokens"


def test_a_top_p_of_0_is_greedy_decoding(writer: Writer) -> None:
    greedy, _ = ask(writer, temperature=0)
    assert ask(writer, temperature=1.5, top_p=0)[0]["message"] == greedy["message"]
    assert ask(writer, temperature=1.5)[0]["message"] != greedy["message"]


def test_a_seed_of_minus_1_draws_one(writer: Writer) -> None:
    choices = [ask(writer, seed=-1)[0] for _ in range(2)]
    assert choices[0]["convmodel"]["seed"] != choices[1]["convmodel"]["seed"] and choices[0]["convmodel"]["seed"] >= 0


def test_a_system_text_longer_than_the_window_loses_its_oldest_sentences(writer: Writer) -> None:
    sentences = [f"i have {number} ." for number in range(20)]
    choice, named = ask(writer, messages=[{"role": "system", "content": "\n".join(sentences)}, *HELLO])
    dropped = int(named.split()[2])
    assert named == f"messages (the {dropped} oldest of 20 sentences of the system text)" and 0 < dropped < 20
    kept = [{"role": "system", "content": "\n".join(sentences[dropped:])}, *HELLO]
    again, none = ask(writer, messages=kept)
    assert none is None and again["message"] == choice["message"]
    choice, named = ask(writer, messages=[{"role": "system", "content": "word " * 300}, *HELLO])
    assert named == "messages (the 1 oldest of 1 sentences of the system text)" and choice["message"]["content"]


def test_a_system_text_with_too_many_characters_loses_its_oldest_sentences(writer: Writer) -> None:
    messages = [{"role": "system", "content": "a" * 10_000 + "\nb c ."}, *HELLO]
    choice, named = ask(writer, messages=messages)
    assert named == "messages (the 1 oldest of 2 sentences of the system text)"
    assert choice["message"] == ask(writer, messages=[{"role": "system", "content": "b c ."}, *HELLO])[0]["message"]


def test_sampling_fields_of_other_servers_are_honoured(writer: Writer) -> None:
    options = {"top_k": 3, "min_p": 0.2, "repetition_penalty": 1.3, "frequency_penalty": 0.5}
    plain, _ = ask(writer, max_tokens=20)
    first, named = ask(writer, max_tokens=20, **options)
    second, _ = ask(writer, max_tokens=20, options=options)
    assert first["message"] == second["message"] != plain["message"] and named is None
