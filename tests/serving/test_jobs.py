"""Admission, deadlines, defects, disconnects and shutdown of jobs, over HTTP."""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from convmodel.responders.loading import load_all
from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING
from tests.conftest import MakeModel
from tests.fakes import FakeResponder
from tests.serving.clients import client_of, error_of, events_of, served, service_of, until


def test_a_full_queue_of_the_model_is_429_with_retry_after() -> None:
    fake = FakeResponder(capacity=0)
    with client_of(service_of(fake)) as client:
        for stream in (False, True):
            answer = client.post("/replies", json={"context": ["a"], "stream": stream})
            assert answer.status_code == 429 and answer.json()["error"]["code"] == "queue_full"
            assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_a_defect_is_500_and_discloses_only_the_request_id(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeResponder(error=RuntimeError("/secret/path of 'what anna said'"), error_after=0)
    with client_of(service_of(fake)) as client:
        answer = client.post("/replies", json={"context": ["a"]})
        streamed = client.post("/replies", json={"context": ["a"], "stream": True})
    assert answer.status_code == 500
    [(name, data)] = events_of(streamed.text)
    assert name == "error"
    for text in (answer.text, data):
        assert "secret" not in text and "anna" not in text and "Traceback" not in text
        assert json.loads(text)["error"] == {
            "message": "something went wrong in the server; its log says what, under the id of X-Request-Id",
            "type": "server_error",
            "param": None,
            "code": "internal",
        }
    assert "fakes.py" in caplog.text and "RuntimeError" in caplog.text
    assert "secret" not in caplog.text and "anna" not in caplog.text
    for id in (answer.headers["x-request-id"], streamed.headers["x-request-id"]):
        assert f"request {id}: RuntimeError" in caplog.text


def test_a_reply_that_exceeds_the_deadline_is_504() -> None:
    fake = FakeResponder(hold=1)
    with client_of(service_of(fake, deadline=0.1)) as client:
        answer = client.post("/replies", json={"context": ["a"], "seed": 4})  # of several words
        streamed = client.post("/replies", json={"context": ["a"], "seed": 4, "stream": True})
        until(lambda: client.app.state.service.jobs.limit.open == 0)  # type: ignore[attr-defined]
    assert answer.status_code == 504 and answer.json()["error"]["code"] == "deadline"
    assert [name for name, _ in events_of(streamed.text)] == ["piece", "error"]


def test_a_start_that_exceeds_the_deadline_is_504_and_is_released() -> None:
    begin = threading.Event()

    class Slow(FakeResponder):
        def start(self, *args: Any, **others: Any) -> Any:
            begin.wait(20)
            return super().start(*args, **others)

    with client_of(service_of(Slow(), deadline=0.1)) as client:
        start = time.monotonic()
        answer = client.post("/replies", json={"context": ["a"]})
        assert time.monotonic() - start < 10
        begin.set()
        until(lambda: client.app.state.service.jobs.limit.open == 0)  # type: ignore[attr-defined]
    assert answer.status_code == 504 and answer.json()["error"]["code"] == "deadline"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_disconnects_releases_its_job(stream: bool) -> None:
    fake = FakeResponder(hold=0)
    service = service_of(fake)
    with served(service) as address:
        host, port = address.removeprefix("http://").split(":")
        body = json.dumps({"context": ["a"], "stream": stream})
        head = ["POST /replies HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall("\r\n".join([*head, f"Content-Length: {len(body)}", "", body]).encode())
            until(fake.held.is_set, seconds=20)
        until(lambda: service.jobs.limit.open == 0, seconds=20)
    [replying] = fake.running
    assert replying._cancelled.is_set()


def test_jobs_of_all_clients_are_counted_and_released_once() -> None:
    fake = FakeResponder(hold=0)
    service = service_of(fake, max_running=2, max_waiting=1)
    statuses: list[int] = []

    def ask(address: str) -> None:
        statuses.append(httpx.post(f"{address}/replies", json={"context": ["a"]}, timeout=20).status_code)

    with served(service) as address:
        threads = [threading.Thread(target=ask, args=(address,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: service.jobs.limit.open == 3, seconds=20)
        assert httpx.post(f"{address}/replies", json={"context": ["a"]}).status_code == 429
        assert httpx.get(f"{address}/health").status_code == 200
        fake.go_on.set()
        for thread in threads:
            thread.join()
        assert statuses == [200, 200, 200] and service.jobs.limit.open == 0


def test_the_server_alone_limits_the_requests_to_a_model_that_it_opened(make_model: MakeModel, tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "model")
    body: dict[str, Any] = {"context": ["Hello"], "options": {"max_new_tokens": 1}}
    with load_all(tmp_path / "model", device="cpu", max_running=1) as models:
        writer = models.responder
        assert writer is not None
        handles = [writer.start(["Hello"], options=body["options"]) for _ in range(MAX_RUNNING + MAX_WAITING)]
        service = service_of(writer, max_running=1, max_waiting=1)
        service.jobs.limit.acquire(2, owner="somebody")
        with client_of(service) as client:
            answer = client.post("/replies", json=body)
            assert error_of(answer, 429)["code"] == "queue_full" and int(answer.headers["retry-after"]) >= 1
            service.jobs.limit.release(owner="somebody")
            assert client.post("/replies", json=body).status_code == 200
        assert all(handle.result().candidates for handle in handles)


# Shutdown


HELLO = {"context": ["Hello!"]}


def test_a_server_in_shutdown_rejects_new_requests_and_completes_running_ones() -> None:
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


def test_replies_that_outlast_the_grace_period_are_cancelled() -> None:
    fake = FakeResponder(hold=1)
    service = service_of(fake, grace=0.1)
    body = {**HELLO, "seed": 4, "stream": True}
    chat = {"model": "model", "messages": [{"role": "user", "content": "a"}], "seed": 4, "stream": True}
    texts: dict[str, str] = {}

    def ask(address: str, path: str, body: dict[str, Any]) -> None:
        texts[path] = httpx.post(f"{address}{path}", json=body, timeout=20).text

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
    *_, (name, data) = events_of(texts["/replies"])
    assert name == "reply" and json.loads(data)["finish"] == "cancelled"
    assert '"code": "cancelled"' in texts["/v1/chat/completions"] and "[DONE]" not in texts["/v1/chat/completions"]
    assert service.jobs.limit.open == 0
