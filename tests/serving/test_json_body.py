"""Invalid bodies, by hand and at random, and the encoding of responses."""

import gzip
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
        b'{"context": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"context": ["a"], "options": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
        b'{"context": [' + b"0," * 200_000 + b"0]}",
        b'{"context": ["a"], "context": 5}',
        '{"context": ["ä"]}'.encode("utf-16")[:-1],
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_body_in_any_encoding_of_unicode_is_read(encoding: str) -> None:
    fake = FakeResponder()
    with client_of(service_of(fake)) as client:
        content = '{"context": ["ä 👩‍👩‍👧 \\ud83d\\ude00"]}'.encode(encoding)
        assert client.post("/replies", content=content, headers=JSON).status_code == 200
    assert [*fake.requests[0]["context"]] == ["ä 👩‍👩‍👧 😀"]


CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (
            r'{"messages": [{"content": "a"}, {"content": "\ud83d"}]}',
            "messages[1].content",
            "a text holds a lone surrogate",
        ),
        (
            r'{"messages": [{"content": "a\u0000"}]}',
            "messages[0].content",
            "a text holds a NUL character (U+0000); remove",
        ),
        (r'{"a": [[0, {"b\u0000": 1}]]}', "a[0][1]", "a name holds a NUL character (U+0000); remove it"),
        (r'{"b\udfff": 1}', None, "a name holds a lone surrogate (U+DFFF); remove or replace it"),
        ('{"a": {"b": 1e999}}', "a.b", "a number is too large; all must be below 1.8e308"),
        ('{"a": [1, -Infinity]}', "a[1]", "-Infinity is not a JSON number; leave it out, or give null"),
        ('{"a": 1, "b": 2, "a": 1}', "a", "the field is there twice; send it once"),
        ('{"m": [{"a": 1}, {"a": 1, "a": "\\u0000"}]}', "m[1].a", "the field is there twice; send it once"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_by_its_path(body: str, param: str | None, message: str) -> None:
    with client_of(service_of()) as client:
        error = error_of(client.post(CHAT, content=body.encode(), headers=JSON), 400)
    assert (error["param"], error["code"]) == (param, "invalid_json")
    assert error["message"].startswith(f"{param}: {message}" if param else message)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "the body is sent without Content-Type, not as JSON; send Content-Type: application/json"),
        ({"content-type": "text/plain; charset=utf-8"}, "the body is sent as text/plain, not as JSON; send"),
        (JSON | {"content-encoding": "gzip"}, "the body is compressed (Content-Encoding: gzip); send it as it is"),
    ],
)
def test_a_body_that_is_not_sent_as_json_is_415_and_told_how_it_came(headers: dict[str, str], message: str) -> None:
    with client_of(service_of()) as client:
        answer = client.post(CHAT, content=gzip.compress(b"{}"), headers=headers)
    assert error_of(answer, 415)["message"].startswith(message)
    assert answer.headers.get("accept-encoding") == ("identity" if "content-encoding" in headers else None)


def test_other_spellings_of_the_headers_are_json() -> None:
    with client_of(service_of()) as client:
        for headers in (JSON | {"content-encoding": "identity"}, {"Content-Type": "Application/JSON;charset=UTF-8"}):
            assert client.post("/replies", content=b'{"context": ["a"]}', headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body: it is missing; send a JSON object, with Content-Type: application/json"),
        (b"[]", "the body: Input should be an object"),
        (b"null", "the body: Input should be an object"),
    ],
)
def test_a_body_that_is_no_object_is_told(body: bytes, message: str) -> None:
    with client_of(service_of()) as client:
        assert error_of(client.post(CHAT, content=body, headers=JSON), 400)["message"] == message


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
