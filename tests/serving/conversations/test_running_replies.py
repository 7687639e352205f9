"""Requests during a reply, over real connections."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from convmodel.serving.safety import Policy, WordList
from tests.fakes import FakeResponder
from tests.serving.clients import until
from tests.serving.talking import events, listening

pytestmark = pytest.mark.slow


@pytest.fixture
def responder() -> FakeResponder:
    """Say "one", and wait until the test lets it continue."""
    return FakeResponder(lambda *_: "one two three", hold=1)


@pytest.fixture
def server(responder: FakeResponder, tmp_path: Path) -> Iterator[tuple[httpx2.Client, FastAPI]]:
    address = f"sqlite:///{tmp_path / 'store.db'}"
    with listening(responder, address) as (url, app), httpx2.Client(base_url=url, timeout=20) as http:
        yield http, app
        responder.go_on.set()


class BackgroundRequest:
    """A request that is sent in a thread."""

    def __init__(self, http: httpx2.Client, path: str, **body: Any) -> None:
        self.events: list[tuple[str, Any]] = []
        self.status = 0
        self._thread = threading.Thread(target=self._send, args=(str(http.base_url), path, body))
        self._thread.start()

    def _send(self, url: str, path: str, body: dict[str, Any]) -> None:
        with httpx2.Client(base_url=url, timeout=20) as http, http.stream("POST", path, json=body) as response:
            self.status = response.status_code
            if response.headers["content-type"].startswith("text/event-stream"):
                self.events += events(response.iter_lines())
            else:
                self.events.append(("json", response.read() and response.json()))

    def result(self) -> Any:
        """Wait for the end, and return the data of the last event, or the body."""
        self._thread.join()
        return self.events[-1][1]


def create(http: httpx2.Client, *turns: str) -> str:
    return str(http.post("/conversations", json={"turns": list(turns)}).json()["id"])


def texts(http: httpx2.Client, id: str) -> list[str]:
    return [turn["text"] for turn in http.get(f"/conversations/{id}").json()["turns"]]


def until_held(app: FastAPI, responder: FakeResponder, id: str) -> None:
    """Wait until a reply is in progress and its user turn is stored."""
    assert responder.held.wait(10)
    until(lambda: id in app.state.turns.conversations.running)


@pytest.mark.parametrize("stream", [False, True])
def test_the_text_generated_before_a_stop_is_stored(
    server: tuple[httpx2.Client, FastAPI], responder: FakeResponder, stream: bool
) -> None:
    http, app = server
    id = create(http)
    assert http.post(f"/conversations/{id}/stop").json()["error"]["code"] == "nothing_running"
    talking = BackgroundRequest(http, f"/conversations/{id}/turns", text="Hello", stream=stream)
    until_held(app, responder, id)
    assert texts(http, id) == ["Hello"]  # on the disk already
    assert http.post(f"/conversations/{id}/turns", json={"text": "x"}).json()["error"]["code"] == "waiting"
    assert http.post(f"/conversations/{id}/reply").json()["error"]["code"] == "running"
    assert http.post(f"/conversations/{id}/stop").status_code == 202
    answer = talking.result()
    assert (answer["turn"]["text"], answer["reply"]["finish"], answer["waiting"]) == ("one", "cancelled", False)
    assert texts(http, id) == ["Hello", "one"]


def test_a_reply_stopped_before_its_first_word_leaves_the_turn_waiting(tmp_path: Path) -> None:
    responder = FakeResponder(lambda *_: "one two", hold=0)
    with listening(responder, f"sqlite:///{tmp_path / 's.db'}") as (url, app), httpx2.Client(base_url=url) as http:
        id = create(http)
        talking = BackgroundRequest(http, f"/conversations/{id}/turns", text="Hello", stream=True)
        until_held(app, responder, id)
        http.post(f"/conversations/{id}/stop")
        answer = talking.result()
        assert (answer["turn"], answer["waiting"], answer["reply"]["text"]) == (None, True, "")
        assert http.get(f"/conversations/{id}").json()["waiting"] is True
        responder.go_on.set()
        assert http.post(f"/conversations/{id}/reply").json()["turn"]["text"] == "one two"


@pytest.mark.parametrize("stream", [False, True])
def test_the_text_generated_before_the_client_disconnects_is_stored(
    server: tuple[httpx2.Client, FastAPI], responder: FakeResponder, stream: bool
) -> None:
    http, app = server
    id = create(http)
    with httpx2.Client(base_url=http.base_url) as leaves:
        if stream:
            with leaves.stream("POST", f"/conversations/{id}/turns", json={"text": "Hi", "stream": True}) as answer:
                assert next(events(answer.iter_lines()))[0] == "said"
                assert responder.held.wait(10)
        else:
            with pytest.raises(httpx2.ReadTimeout):
                leaves.post(f"/conversations/{id}/turns", json={"text": "Hi"}, timeout=0.5)
    until(lambda: texts(http, id) == ["Hi", "one"])
    until(lambda: app.state.service.jobs.limit.open == 0)
    reply = http.get(f"/conversations/{id}").json()["turns"][1]["reply"]
    assert reply["finish"] == "cancelled"


def test_a_retry_stopped_after_its_first_word_replaces_the_old_reply(
    server: tuple[httpx2.Client, FastAPI], responder: FakeResponder
) -> None:
    http, app = server
    id = create(http, "Hello", "old")
    talking = BackgroundRequest(http, f"/conversations/{id}/retry", stream=True)
    until_held(app, responder, id)
    assert texts(http, id) == ["Hello", "old"]
    assert http.post(f"/conversations/{id}/turns", json={"text": "x"}).json()["error"]["code"] == "running"
    http.post(f"/conversations/{id}/stop")
    talking.result()
    assert texts(http, id) == ["Hello", "one"]


@pytest.mark.parametrize("change", ["undo", "delete", "join"])
def test_a_change_of_the_turns_stops_the_reply_in_progress(
    server: tuple[httpx2.Client, FastAPI], responder: FakeResponder, change: str
) -> None:
    http, app = server
    id = create(http, "a", "b")
    talking = BackgroundRequest(http, f"/conversations/{id}/turns", text="Hello", stream=True)
    until_held(app, responder, id)
    if change == "undo":
        assert [turn["text"] for turn in http.post(f"/conversations/{id}/undo").json()["taken"]] == ["Hello"]
    elif change == "delete":
        assert http.delete(f"/conversations/{id}").status_code == 204
    else:
        joining = BackgroundRequest(http, f"/conversations/{id}/turns", text="more", join=True)
    assert talking.result()["error"]["code"] == ("no_conversation" if change == "delete" else "conflict")
    if change == "join":
        responder.go_on.set()
        assert joining.result()["turn"]["text"] == "one two three"
        assert texts(http, id) == ["a", "b", "Hello\nmore", "one two three"]
    elif change == "undo":
        assert texts(http, id) == ["a", "b"]
    until(lambda: app.state.service.jobs.limit.open == 0)


def test_a_turn_after_an_undo_does_not_wait_for_the_stopped_reply_to_end(tmp_path: Path) -> None:
    class Stubborn(FakeResponder):
        def pause(self, index: int, cancelled: threading.Event) -> bool:
            """Ignore the cancellation of the first reply."""
            return super().pause(index, threading.Event()) if len(self.requests) == 1 else False

    responder = Stubborn(lambda *_: "one two", hold=1)
    with listening(responder, str(tmp_path / "store.db")) as (url, app), httpx2.Client(base_url=url) as http:
        id = create(http)
        talking = BackgroundRequest(http, f"/conversations/{id}/turns", text="Hello")
        until_held(app, responder, id)
        assert http.post(f"/conversations/{id}/undo").status_code == 200
        response = http.post(f"/conversations/{id}/turns", json={"text": "Hi"})
        responder.go_on.set()
        assert response.status_code == 200, response.text
        assert talking.result()["error"]["code"] == "conflict"
        assert texts(http, id) == ["Hi", "one two"]


def test_a_blocked_text_that_joins_a_turn_stops_the_reply_to_it(responder: FakeResponder, tmp_path: Path) -> None:
    policy = Policy(words=WordList(["rain"]), sides=["input"])
    with (
        listening(responder, str(tmp_path / "store.db"), policy=policy) as (url, app),
        httpx2.Client(base_url=url, timeout=20) as http,
    ):
        id = create(http)
        talking = BackgroundRequest(http, f"/conversations/{id}/turns", text="Hello")
        until_held(app, responder, id)
        joined = http.post(f"/conversations/{id}/turns", json={"text": "rain", "join": True}).json()
        assert joined["said"]["blocked"] and joined["waiting"] is False
        assert talking.result()["error"]["code"] == "conflict"  # though it may not go on
        responder.go_on.set()
        assert http.post(f"/conversations/{id}/turns", json={"text": "Hi"}).status_code == 200
        assert responder.requests[-1]["context"] == ("Hi",)


def test_settings_can_change_during_a_reply(server: tuple[httpx2.Client, FastAPI], responder: FakeResponder) -> None:
    http, app = server
    id = create(http)
    talking = BackgroundRequest(http, f"/conversations/{id}/turns", text="Hello", version=1)
    until_held(app, responder, id)
    assert http.patch(f"/conversations/{id}", json={"title": "Tea", "version": 2}).json()["version"] == 3
    responder.go_on.set()
    assert talking.result()["version"] == 4
    whole = http.get(f"/conversations/{id}").json()
    assert (whole["title"], len(whole["turns"])) == ("Tea", 2)


def test_a_repeated_request_during_the_reply_is_rejected(
    server: tuple[httpx2.Client, FastAPI], responder: FakeResponder
) -> None:
    http, _ = server
    id = create(http)
    path = f"/conversations/{id}/turns"
    headers = {"Idempotency-Key": "a"}
    with http.stream("POST", path, json={"text": "Hi", "stream": True}, headers=headers) as answer:
        assert responder.held.wait(10)
        with httpx2.Client(base_url=http.base_url) as beside:
            repeated = beside.post(path, json={"text": "Hi"}, headers=headers)
            assert (repeated.status_code, repeated.json()["error"]["code"]) == (409, "idempotency")
            responder.go_on.set()
            *_, (name, body) = events(answer.iter_lines())
            assert name == "reply"
            assert beside.post(path, json={"text": "Hi"}, headers=headers).json() == body
