"""Validation of request bodies, and numbers in response bodies."""

import json
from typing import Any

import pytest

from convmodel.responders.protocol import Candidate
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, service_of


def test_candidates_have_scores_and_an_infinite_score_is_null() -> None:
    fake = FakeResponder()
    with client_of(service_of(fake)) as client:
        body = {"context": ["Hello!"], "seed": 1, "options": {"num_return_sequences": 3}}
        answer = client.post("/replies", json=body).json()
    assert [candidate["score"] for candidate in answer["candidates"]] == [-1.0, -2.0, -3.0]
    from convmodel.serving.json_body import dump
    from convmodel.serving.schemas import CandidateBody

    candidate = Candidate("x", float("-inf"), scores={"written": float("nan")})
    shown = json.loads(dump(CandidateBody.model_validate(candidate)))
    assert shown["score"] is None and shown["scores"] == {"written": None}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "context"),
        ({"context": []}, "context"),
        ({"context": "Hello!"}, "context"),
        ({"context": [" \n"]}, "context[0]"),
        ({"context": ["a", 5]}, "context[1]"),
        ({"context": ["a"] * 4}, "context"),
        ({"context": ["a", "b" * 101]}, "context[1]"),
        ({"context": ["a"], "persona": ["b" * 40, "c" * 40]}, "persona"),
        ({"context": ["a"], "preset": "shy"}, "preset"),
        ({"context": ["a"], "options": {"temperature": 0}}, "options.temperature"),
        ({"context": ["a"], "options": {"temperature": "1"}}, "options.temperature"),
        ({"context": ["a"], "options": {"heat": 1}}, "options.heat"),
        ({"context": ["a"], "options": {"max_new_tokens": 513}}, "options.max_new_tokens"),
        ({"context": ["a"], "options": {"num_return_sequences": 9}}, "options.num_return_sequences"),
        ({"context": ["a"], "options": {"num_beams": 2}}, "options.num_beams"),
        ({"context": ["a"], "seed": -1}, "seed"),
        ({"context": ["a"], "seed": True}, "seed"),
        ({"context": ["a"], "stream": "yes"}, "stream"),
        ({"context": ["a"], "colour": 1}, "colour"),
    ],
)
def test_an_invalid_field_is_rejected_by_name(body: dict[str, Any], param: str) -> None:
    fake = FakeResponder()
    with client_of(service_of(fake, turns=3, turn_chars=100, persona_chars=60)) as client:
        answer = client.post("/replies", json=body)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["type"] == "invalid_request_error"
    assert error["param"] == param and error["message"] and error["code"]
    assert not fake.requests
