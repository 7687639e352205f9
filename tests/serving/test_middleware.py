import json
import socket
import threading
from typing import Any

import httpx2 as httpx
import pytest

from convmodel.serving.auth import Keys
from convmodel.serving.service import Service
from convmodel.serving.store.keys import digest
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, error_of, served, service_of

JSON = {"content-type": "application/json"}
HELLO = {"context": ["Hello!"]}


# Keys


@pytest.fixture
def keys() -> dict[str, str]:
    return {digest("cm-anna"): "anna", digest("cm-bob"): "bob"}


def test_with_keys_no_user_data_is_returned_without_one(keys: dict[str, str]) -> None:
    with client_of(Service(FakeResponder(), keys=Keys(lambda: keys))) as client:
        for path in ("/about", "/metrics", "/v1/models", "/nowhere"):
            assert error_of(client.get(path), 401)["type"] == "authentication_error"
        for headers in ({}, {"Authorization": "cm-anna"}, {"Authorization": "Bearer cm-eve"}):
            answer = client.post("/replies", json=HELLO, headers=headers)
            assert error_of(answer, 401) and answer.headers["www-authenticate"] == "Bearer"
        for path in ("/health", "/ready", "/openapi.json", "/docs"):
            assert client.get(path).status_code == 200
        assert [client.head(path).status_code for path in ("/health", "/ready", "/v1/models")] == [200, 200, 401]
        for headers in ({"Authorization": "Bearer cm-anna"}, {"authorization": "bearer cm-bob"}):
            assert client.post("/replies", json=HELLO, headers=headers).status_code == 200
        assert client.get("/about", headers={"Authorization": "Bearer cm-anna"}).json()["keys"] is True
        assert client.get("/openapi.json").json()["security"] == [{"key": []}]


def test_health_answers_while_keys_are_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.serving.middleware.KEYS_SECONDS", 0.05)
    answers = threading.Event()

    def hanging() -> dict[str, str]:
        answers.wait(20)
        return {}

    with client_of(Service(FakeResponder(), keys=Keys(hanging))) as client:
        assert client.get("/health").status_code == 200
        answers.set()
        assert client.get("/about").status_code == 200


def test_the_body_of_a_request_without_a_key_is_not_read(keys: dict[str, str]) -> None:
    with client_of(Service(FakeResponder(), keys=Keys(lambda: keys))) as client:
        error_of(client.post("/replies", content=b"{", headers=JSON), 401)


# Methods


def test_head_is_answered_as_get_without_a_body() -> None:
    with client_of(service_of()) as client:
        answer = client.head("/v1/models")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == client.get("/v1/models").headers["content-length"]
        assert (client.head("/replies").status_code, client.head("/replies").content) == (405, b"")
        assert 'method="HEAD",route="/v1/models",status="200"' in client.get("/metrics").text
    with served(service_of()) as address, httpx.Client() as real:
        assert (real.head(f"{address}/v1/models").status_code, real.get(f"{address}/health").status_code) == (200, 200)


# Names


@pytest.mark.parametrize("host", ["localhost", "localhost:99", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_without_keys_only_names_of_this_machine_are_answered(host: str) -> None:
    with client_of(service_of()) as client:
        assert client.get("/about", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "[", "127.0.0.1@x"]
)
def test_without_keys_dns_rebinding_reads_nothing(host: str) -> None:
    with client_of(service_of()) as client:
        assert error_of(client.get("/about", headers={"host": host}), 403)["code"] == "host"


def test_pages_of_other_origins_are_rejected_unless_allowed() -> None:
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


PREFLIGHTS = [
    "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version,"
    "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout",
    "authorization,content-type,http-referer,x-title",
    "anthropic-dangerous-direct-browser-access,anthropic-version,content-type,x-api-key",
    "content-type",
]
"""What browsers ask for on behalf of OpenAI's and Anthropic's JavaScript clients, and of other pages."""


@pytest.mark.parametrize("requested", PREFLIGHTS)
@pytest.mark.parametrize("allowed", ["https://friend.example", "*"])
def test_pages_of_allowed_origins_may_send_any_header_from_a_public_to_a_private_network(
    requested: str, allowed: str
) -> None:
    preflight = {
        "Origin": "https://friend.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": requested,
        "Access-Control-Request-Private-Network": "true",
    }
    with client_of(service_of(origins=(allowed,))) as client:
        answer = client.options("/v1/chat/completions", headers=preflight)
        assert answer.status_code == 200
        granted = answer.headers["access-control-allow-headers"].lower().split(",")
        assert {name.strip() for name in granted} >= set(requested.split(","))
        assert answer.headers["access-control-allow-private-network"] == "true"
        assert answer.headers["access-control-allow-origin"] in ("https://friend.example", "*")
        headers = {"Origin": "https://friend.example"} | {name: "1" for name in requested.split(",") if name[0] in "xh"}
        answer = client.post("/replies", json=HELLO, headers=headers)
        assert answer.status_code == 200 and "X-Convmodel-Ignored" in answer.headers["access-control-expose-headers"]
    with client_of(service_of(origins=("https://other.example",))) as client:
        answer = client.options("/v1/chat/completions", headers=preflight)
        assert answer.status_code == 400 and "access-control-allow-origin" not in answer.headers


def test_an_error_about_names_says_how_to_allow_them() -> None:
    with client_of(service_of()) as client:
        message = error_of(client.get("/about", headers={"Host": "box.lan:8000"}), 403)["message"]
        assert "--allowed-host box.lan " in message
        message = error_of(client.get("/about", headers={"Origin": "https://friend.example"}), 403)["message"]
        assert "--cors https://friend.example" in message


# Bodies


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_body_with_another_content_type_is_rejected(kind: str) -> None:
    with client_of(service_of()) as client:
        answer = client.post("/replies", content=json.dumps(HELLO).encode(), headers={"content-type": kind})
        assert error_of(answer, 415)["code"] == "not_json"
        good = {"content-type": "Application/JSON; charset=utf-8"}
        assert client.post("/replies", content=json.dumps(HELLO).encode(), headers=good).status_code == 200


def test_a_too_large_body_is_rejected_with_and_without_a_content_length() -> None:
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


def test_a_body_that_does_not_arrive_in_time_is_408() -> None:
    with served(service_of(body_seconds=0.05)) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            head = ["POST /replies HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 50"]
            connection.sendall("\r\n".join([*head, "", "{"]).encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


# Addresses


@pytest.mark.parametrize("path", ["/v1/models/", "//v1/models", "/v1//models", "/v1//models//", "/v1/models/model/"])
def test_more_slashes_than_needed_change_nothing(path: str) -> None:
    with client_of(service_of()) as client:
        assert client.get(f"http://localhost{path}").status_code == 200


def test_a_nul_character_in_an_address_is_an_error() -> None:
    with client_of(service_of()) as client:
        error_of(client.get("/v1/models/a%00b"), 400)
        error_of(client.get("/about?a=%00"), 400)


def test_every_response_has_its_own_id() -> None:
    with client_of(service_of()) as client:
        ids = [client.get(path).headers["x-request-id"] for path in ("/about", "/about", "/nowhere", "/docs")]
    assert len(set(ids)) == 4
