import json
import random
import re
import socket
import threading
import time
from typing import Any

import httpx2 as httpx
import pytest

from convmodel.serving.auth import Keys
from convmodel.serving.errors import APIError
from convmodel.serving.limits import ConcurrencyLimit, Rate
from convmodel.serving.service import new_service
from convmodel.serving.settings import Settings
from convmodel.serving.store.errors import Unavailable
from convmodel.serving.store.keys import digest, new_key
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, events_of, served, service_of, until

JSON = {"content-type": "application/json"}
HELLO = {"context": ["Hello!"]}


def error_of(answer: Any, status: int) -> dict[str, Any]:
    """The error of an answer, which has our shape."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["content-type"] == "application/json" and answer.headers["x-request-id"]
    return dict(body["error"])


# Keys


@pytest.fixture
def keys() -> dict[str, str]:
    return {digest("cm-anna"): "anna", digest("cm-bob"): "bob"}


def test_where_there_are_keys_nothing_of_anybody_is_shown_without_one(keys: dict[str, str]) -> None:
    with client_of(new_service(FakeResponder(), keys=Keys(lambda: keys))) as client:
        for path in ("/about", "/metrics", "/v1/models", "/nowhere"):
            assert error_of(client.get(path), 401)["type"] == "authentication_error"
        for headers in ({}, {"Authorization": "cm-anna"}, {"Authorization": "Bearer cm-eve"}):
            answer = client.post("/replies", json=HELLO, headers=headers)
            assert error_of(answer, 401) and answer.headers["www-authenticate"] == "Bearer"
        for path in ("/health", "/ready", "/openapi.json", "/docs"):
            assert client.get(path).status_code == 200
        assert [client.head(path).status_code for path in ("/health", "/ready")] == [200, 200]
        for headers in ({"Authorization": "Bearer cm-anna"}, {"authorization": "bearer cm-bob"}):
            assert client.post("/replies", json=HELLO, headers=headers).status_code == 200
        assert client.get("/about", headers={"Authorization": "Bearer cm-anna"}).json()["keys"] is True
        assert client.get("/openapi.json").json()["security"] == [{"key": []}]


def test_a_key_that_is_taken_back_works_no_longer_than_a_few_seconds(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Keys(lambda: keys)
    known.refresh()
    assert known.owner("Bearer cm-anna") == "anna"
    del keys[digest("cm-anna")]
    later = time.monotonic() + 5
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not known.fresh
    known.refresh()
    with pytest.raises(APIError, match="not known"):
        known.owner("Bearer cm-anna")


def test_who_waits_for_keys_that_cannot_be_read_does_not_try_in_turn() -> None:
    tries: list[float] = []
    codes: list[str | None] = []

    def hanging() -> dict[str, str]:
        tries.append(time.monotonic())
        time.sleep(0.2)
        raise Unavailable("it does not answer")

    known = Keys(hanging, required=True)

    def refresh() -> None:
        with pytest.raises(APIError) as refused:
            known.refresh()
        codes.append(refused.value.code)

    threads = [threading.Thread(target=refresh) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(tries), codes) == (1, ["store_unavailable"] * 5)


def test_a_server_lives_while_its_keys_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.serving.middleware.KEYS_SECONDS", 0.05)
    answers = threading.Event()

    def hanging() -> dict[str, str]:
        answers.wait(20)
        return {}

    with client_of(new_service(FakeResponder(), keys=Keys(hanging))) as client:
        assert client.get("/health").status_code == 200
        answers.set()
        assert client.get("/about").status_code == 200


def test_whoever_must_have_a_key_needs_one_even_when_there_are_none() -> None:
    with pytest.raises(APIError):
        Keys(required=True).owner(None)
    assert Keys().owner(None) == "local" and Keys(lambda: {}).owner("Bearer x") == "local"


def test_a_key_has_256_random_bits_and_only_its_hash_tells_of_it() -> None:
    one, other = new_key(), new_key()
    assert one != other and one.startswith("cm-") and len(one) == 3 + 43
    assert len(digest(one)) == 64 and one not in digest(one)


def test_a_body_is_not_read_of_one_who_has_no_key(keys: dict[str, str]) -> None:
    with client_of(new_service(FakeResponder(), keys=Keys(lambda: keys))) as client:
        error_of(client.post("/replies", content=b"{", headers=JSON), 401)


# Names


@pytest.mark.parametrize("host", ["localhost", "localhost:99", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_without_keys_the_server_answers_to_names_of_this_machine(host: str) -> None:
    with client_of(service_of()) as client:
        assert client.get("/about", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "[", "127.0.0.1@x"]
)
def test_without_keys_a_page_whose_name_leads_here_reads_nothing(host: str) -> None:
    with client_of(service_of()) as client:
        assert error_of(client.get("/about", headers={"host": host}), 403)["code"] == "host"


def test_pages_elsewhere_may_do_nothing_unless_they_are_allowed() -> None:
    evil = {"Origin": "https://evil.example"}
    with client_of(service_of()) as client:
        for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
            assert error_of(client.post("/replies", json=HELLO, headers={"Origin": origin}), 403)["code"] == "origin"
        assert client.post("/replies", json=HELLO, headers={"Origin": "http://localhost:8000"}).status_code == 200
        assert "access-control-allow-origin" not in client.get("/about", headers=evil).headers
    friend = {"Origin": "https://friend.example"}
    asking = {**friend, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    with client_of(service_of(origins=("https://friend.example",))) as client:
        answer = client.post("/replies", json=HELLO, headers=friend)
        assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == friend["Origin"]
        assert client.options("/replies", headers=asking).status_code == 200
        assert client.options("/replies", headers={**asking, **evil}).status_code == 400
        assert error_of(client.get("/about", headers=evil), 403)


# Bodies


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
def test_a_body_that_cannot_be_read_is_an_error_of_our_shape(body: bytes) -> None:
    fake = FakeResponder()
    with client_of(service_of(fake)) as client:
        for path in ("/replies", "/v1/chat/completions", "/documents", "/candidates"):
            error = error_of(client.post(path, content=body, headers=JSON), 400)
            assert error["type"] == "invalid_request_error"
    assert not fake.asked


def test_random_bytes_and_random_json_are_never_a_defect() -> None:
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
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_body_that_is_not_said_to_be_json_is_not_read(kind: str) -> None:
    with client_of(service_of()) as client:
        answer = client.post("/replies", content=json.dumps(HELLO).encode(), headers={"content-type": kind})
        assert error_of(answer, 415)["code"] == "not_json"
        good = {"content-type": "Application/JSON; charset=utf-8"}
        assert client.post("/replies", content=json.dumps(HELLO).encode(), headers=good).status_code == 200


def test_a_body_that_is_too_large_is_not_read_whether_it_says_so_or_not() -> None:
    def chunks() -> Any:
        yield b'{"context": ["'
        for _ in range(100):
            yield b"a" * 100
        yield b'"]}'

    with client_of(service_of(body_bytes=1000)) as client:
        for answer in (
            client.post("/replies", json={"context": ["a" * 1000]}),
            client.post("/replies", content=chunks(), headers=JSON),
        ):
            assert error_of(answer, 413)["code"] == "body_too_large"
    with served(service_of(body_bytes=1000)) as address:
        answer = httpx.post(f"{address}/replies", content=chunks(), headers=JSON)
        assert error_of(answer, 413) and answer.headers["connection"] == "close"


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with served(service_of(body_seconds=0.05)) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            head = ["POST /replies HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 50"]
            connection.sendall("\r\n".join([*head, "", "{"]).encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


# Addresses


@pytest.mark.parametrize("path", ["/nowhere", "/replies/", "/v1/", "/docs/../../etc/passwd", "/docs/%2e%2e", "/web/x"])
def test_an_address_that_is_not_there_is_404_in_our_shape(path: str) -> None:
    with client_of(service_of()) as client:
        assert error_of(client.get(path), 404)["code"] == "not_found"


def test_a_method_that_is_not_taken_is_405_and_says_which_is() -> None:
    with client_of(service_of()) as client:
        answer = client.request("DELETE", "/replies")
        assert error_of(answer, 405) and answer.headers["allow"] == "POST"
        assert client.request("BREW", "/about").status_code == 405


def test_a_nul_character_in_an_address_is_an_error() -> None:
    with client_of(service_of()) as client:
        error_of(client.get("/v1/models/a%00b"), 400)
        error_of(client.get("/about?a=%00"), 400)


def test_every_answer_has_an_id_of_its_own() -> None:
    with client_of(service_of()) as client:
        ids = [client.get(path).headers["x-request-id"] for path in ("/about", "/about", "/nowhere", "/docs")]
    assert len(set(ids)) == 4


# Limits


def test_more_requests_of_a_key_in_a_minute_than_are_allowed_must_wait(keys: dict[str, str]) -> None:
    service = new_service(FakeResponder(), keys=Keys(lambda: keys), settings=Settings(requests_per_minute=2))
    with client_of(service) as client:
        anna, bob = {"Authorization": "Bearer cm-anna"}, {"Authorization": "Bearer cm-bob"}
        assert [client.get("/about", headers=anna).status_code for _ in range(3)] == [200, 200, 429]
        answer = client.get("/about", headers=anna)
        assert error_of(answer, 429)["code"] == "rate_limit_exceeded"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert client.get("/about", headers=bob).status_code == 200
        assert client.get("/health").status_code == 200


def test_places_are_given_to_all_or_none_and_come_back() -> None:
    limit = ConcurrencyLimit(running=2, total=4, per_owner=3, per_user=2)
    limit.acquire(2, owner="a", user="x")
    for count, owner, user, code in (
        (1, "a", "x", "too_many_of_this_user"),
        (2, "a", "y", "too_many_of_this_key"),
        (3, "b", None, "queue_full"),
    ):
        with pytest.raises(APIError) as refused:
            limit.acquire(count, owner=owner, user=user)
        assert refused.value.code == code and refused.value.status == 429
        assert limit.open == 2
    for count, owner, user in ((3, "a", "x"), (4, "a", None), (5, "b", None)):  # which waiting would not help
        with pytest.raises(APIError, match=f"{count} replies at once; ") as refused:
            limit.acquire(count, owner=owner, user=user)
        assert refused.value.status == 400
    limit.acquire(2, owner="b")
    limit.release(owner="a", user="x", seconds=30.0)
    limit.acquire(1, owner="a", user="x")
    assert limit.open == 4


def test_the_wait_that_is_told_grows_with_what_is_open_and_how_long_it_takes() -> None:
    def wait(open: int, seconds: float) -> float:
        limit = ConcurrencyLimit(running=2, total=100)
        for _ in range(3):
            limit.acquire(1, owner="a")
            limit.release(owner="a", seconds=seconds)
        limit.acquire(open, owner="a")
        return limit.retry_after()

    assert wait(2, 4.0) == 2.0 and wait(9, 4.0) == 16.0 and wait(9, 8.0) == 32.0 and wait(99, 90.0) == 60.0


def test_a_rate_without_a_limit_lets_everything_through() -> None:
    rate = Rate(None)
    for _ in range(1000):
        rate.check("a")
    strict = Rate(1)
    strict.check("a")
    with pytest.raises(APIError):
        strict.check("a")


# What is counted and logged


def test_metrics_count_by_template_and_never_by_path() -> None:
    with client_of(
        service_of(),
    ) as client:
        client.post("/replies", json={**HELLO, "seed": 1})
        client.post("/replies", json={"context": []})
        for path in ("/v1/models/secret-name", "/secret-path", "/about"):
            client.get(path)
        text = client.get("/metrics").text
    assert "secret" not in text
    for line in (
        'convmodel_requests_total{method="POST",route="/replies",status="200"} 1.0',
        'convmodel_requests_total{method="GET",route="/v1/models/{model:path}",status="404"} 1.0',
        'convmodel_requests_total{method="GET",route="none",status="404"} 1.0',
        'convmodel_replies_total{finish="end",source="written"} 1.0',
        'convmodel_refused_total{reason="invalid_value"} 1.0',
        'convmodel_refused_total{reason="model_not_found"} 1.0',
        'convmodel_tokens_total{kind="read"} 2.0',
        "convmodel_open_replies 0.0",
        "convmodel_first_token_seconds_count 1.0",
    ):
        assert line in text, line


def test_no_text_of_a_conversation_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with client_of(service_of()) as client:
        client.post("/replies", json={"context": ["umbrella"]})
        client.post("/replies", json={"context": ["umbrella"], "umbrella": 1})
        client.post("/replies?umbrella=1", json={"context": ["umbrella"], "stream": True})
    lines = [record.getMessage() for record in caplog.records if record.name == "convmodel.serving.middleware"]
    assert len(lines) == 3 and lines[0].startswith("POST /replies 200 ") and lines[1].startswith("POST /replies 400 ")
    assert not any("umbrella" in line for line in lines)


# The end


def test_a_server_that_ends_takes_nothing_new_and_lets_what_runs_come_to_its_end() -> None:
    fake = FakeResponder(hold=1)
    service = service_of(fake, grace=5.0)
    body = {**HELLO, "seed": 4, "stream": True}
    with served(service) as address, httpx.stream("POST", f"{address}/replies", json=body, timeout=20) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: piece"
        service.jobs.closing = True
        assert error_of(httpx.post(f"{address}/replies", json=HELLO), 503)["code"] == "closing"
        assert error_of(httpx.get(f"{address}/ready"), 503)
        assert httpx.get(f"{address}/health").status_code == 200
        fake.go_on.set()
        assert "event: reply" in list(lines)


def test_what_runs_too_long_after_the_end_is_cut_and_says_so() -> None:
    fake = FakeResponder(hold=1)
    service = service_of(fake, grace=0.1)
    body = {**HELLO, "seed": 4, "stream": True}
    chat = {"model": "model", "messages": [{"role": "user", "content": "a"}], "seed": 4, "stream": True}
    found: dict[str, str] = {}

    def ask(address: str, path: str, body: dict[str, Any]) -> None:
        found[path] = httpx.post(f"{address}{path}", json=body, timeout=20).text

    with served(service) as address:
        asking = [
            threading.Thread(target=ask, args=(address, path, body))
            for path, body in (("/replies", body), ("/v1/chat/completions", chat))
        ]
        for thread in asking:
            thread.start()
        until(lambda: len(fake.running) == 2 and fake.held.is_set())
    for thread in asking:
        thread.join()
    *_, (name, data) = events_of(found["/replies"])
    assert name == "reply" and json.loads(data)["finish"] == "cancelled"
    assert '"code": "cancelled"' in found["/v1/chat/completions"] and "[DONE]" not in found["/v1/chat/completions"]
    assert service.jobs.limit.open == 0


@pytest.mark.parametrize(
    "begin, more",
    [
        (b"GET /", b"a"),
        (b"GET /health HTTP/1.1\r\nX: ", b"a"),
        (b"GET /health HTTP/1.1\r\n", b"X: a\r\n"),
        (b"POST /replies HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n"),
    ],
)
def test_a_head_that_does_not_end_is_not_kept(begin: bytes, more: bytes) -> None:
    with served(service_of()) as address, socket.create_connection(_port_of(address), timeout=20) as connection:
        connection.sendall(begin)
        with pytest.raises(ConnectionError):
            for _ in range(2_000):
                connection.sendall(more * (10_000 // len(more)))


def test_a_long_body_and_requests_behind_it_are_no_long_head() -> None:
    body = json.dumps({"context": ["a"] * 60_000}).encode()
    head = b"POST /replies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with served(service_of()) as address, socket.create_connection(_port_of(address), timeout=20) as connection:
        connection.sendall((head % len(body) + body) * 3 + last)
        came = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", came) == [b"400", b"400", b"400", b"200"]
    assert came.count(b"60,000 turns; 1,000 are allowed") == 3


def _port_of(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("http://").partition(":")
    return host, int(port)
