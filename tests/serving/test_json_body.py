"""Invalid bodies, by hand and at random, and the encoding of responses."""

import json
import random
from typing import Any

import pytest

from convmodel.serving.json_body import dump
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, error_of, service_of

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b"null",
        b'"context"',
        b'{"context": ["a"], "options": {"temperature": NaN}}',
        b'{"context": ["a"], "options": {"temperature": Infinity}}',
        b'{"context": ["a"], "options": {"temperature": -Infinity}}',
        b'{"context": ["a"], "options": {"temperature": 1e999}}',
        b'{"context": ["a"], "seed": 1' + b"0" * 30 + b"}",
        b'{"context": ["a"], "seed": 1' + b"0" * 5000 + b"}",
        b'{"context": ["\\ud800"]}',
        b'{"context": ["a\\u0000"]}',
        b'{"\\ud800": 1, "context": ["a"]}',
        b'{"context": ["\xff"]}',
        b'\xef\xbb\xbf{"context": ["a"]}',
        b'{"context": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"context": ["a"], "options": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
        b'{"context": [' + b"0," * 200_000 + b"0]}",
        b'{"context": ["a"], "context": 5}',
        '{"context": ["ä"]}'.encode("utf-16"),
        '{"context": ["ä"]}'.encode("latin-1"),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_an_unreadable_body_is_an_error_in_the_common_format(body: bytes) -> None:
    fake = FakeResponder()
    with client_of(service_of(fake)) as client:
        for path in ("/replies", "/v1/chat/completions", "/documents", "/candidates"):
            error = error_of(client.post(path, content=body, headers=JSON), 400)
            assert error["type"] == "invalid_request_error"
    assert not fake.requests


def test_random_bytes_and_random_json_never_cause_a_defect() -> None:
    source = random.Random(7)
    atoms: list[Any] = [None, True, -1, 0.5, 2**70, "", "a", "\ud800", "\x00", "😀", [], {}, "user", 10**400]

    def value(deep: int) -> Any:
        kind = source.randrange(8 if deep else 6)
        if kind < 6:
            return source.choice(atoms)
        if kind == 6:
            return [value(deep - 1) for _ in range(source.randrange(4))]
        names = ["context", "messages", "role", "content", "options", "temperature", "stream", "seed", "\udfff", "n"]
        return {source.choice(names): value(deep - 1) for _ in range(source.randrange(5))}

    with client_of(service_of()) as client:
        for turn in range(150):
            body = json.dumps(value(4)).encode() if turn % 3 else source.randbytes(source.randrange(1, 60))
            path = source.choice(["/replies", "/v1/chat/completions", "/documents", "/candidates"])
            answer = client.post(path, content=body, headers=JSON)
            assert answer.status_code in (200, 400, 404), answer.text
            if answer.status_code != 200:
                error_of(answer, answer.status_code)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": float("nan"), "b": [float("inf"), 1.5]}, '{"a": null, "b": [null, 1.5]}'),
        ("\u2028 \x85 é", '"\\u2028 \\u0085 é"'),
        ("\ud800", '"?"'),
    ],
)
def test_json_is_one_line_that_every_reader_parses(value: Any, text: str) -> None:
    assert dump(value) == text
    json.loads(dump(value))
