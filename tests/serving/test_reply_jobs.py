"""Replies, searches and the policy."""

import json
from typing import Any

import pytest

from convmodel.serving.safety.policy import Policy
from convmodel.serving.safety.word_list import WordList
from convmodel.serving.service import Service
from convmodel.serving.settings import Settings
from tests.fakes import FakeResponder, FakeSearcher
from tests.serving.clients import client_of, events_of


def said(text: str) -> FakeResponder:
    return FakeResponder(lambda context, seed, options: text)


def policed(fake: FakeResponder, *words: str, **settings: Any) -> Any:
    return Service(fake, policy=Policy(words=WordList(words), say="No."), settings=Settings(**settings))


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_input_never_reaches_the_responder(stream: bool) -> None:
    fake = FakeResponder()
    with client_of(policed(fake, "rain")) as client:
        for body in ({"context": ["RAIN!"]}, {"context": ["a"], "persona": ["i like rain"]}):
            answer = client.post("/replies", json={**body, "stream": stream})
            reply = json.loads(events_of(answer.text)[-1][1]) if stream else answer.json()
            assert (reply["text"], reply["finish"]) == ("No.", "filtered")
            assert reply["blocked"] == {"side": "input", "by": "words", "label": None}
            assert len(reply["candidates"]) == 1
        assert 'convmodel_blocked_total{by="words",side="input"} 2.0' in client.get("/metrics").text
    assert not fake.requests


def test_a_blocked_output_is_returned_in_no_form() -> None:
    fake = said("it may rain")
    with client_of(policed(fake, "rain")) as client:
        whole = client.post("/replies", json={"context": ["a"]})
        streamed = client.post("/replies", json={"context": ["a"], "stream": True})
    for text in (whole.text, streamed.text):
        assert "rain" not in text and '"side": "output"' in text
    assert [json.loads(data)["text"] for _, data in events_of(streamed.text)] == ["No.", "No."]


def test_the_next_candidate_replaces_a_blocked_one() -> None:
    texts = {1: "rain", 1001: "sun", 2001: "rain or sun"}
    fake = FakeResponder(lambda context, seed, options: texts[seed])
    with client_of(policed(fake, "rain")) as client:
        body = {"context": ["a"], "seed": 1, "options": {"num_return_sequences": 3}}
        reply = client.post("/replies", json=body).json()
    assert reply["text"] == "sun" and [candidate["text"] for candidate in reply["candidates"]] == ["sun"]
    assert reply["blocked"] is None and reply["finish"] == "end"


def test_a_policy_checks_the_context_and_the_candidates_of_a_search() -> None:
    service = Service(FakeSearcher(), policy=Policy(words=WordList(["rain"])))
    with client_of(service) as client:
        candidates = client.post("/candidates", json={"context": ["a"]}).json()["candidates"]
        assert [candidate["text"] for candidate in candidates] == ["sun", "sea"]
        assert client.post("/candidates", json={"context": ["rain?"]}).json() == {"candidates": []}
