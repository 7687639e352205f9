"""What happens while a reply is being made, over real connections, and to processes that end."""

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from convmodel.serving.safety import Policy, WordList
from tests.fakes import FakeResponder
from tests.serving.databases import new_database
from tests.serving.killing import ask, kill_again_and_again, turns_of
from tests.serving.server import Process
from tests.serving.talking import events, listening

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("CONVMODEL_KILL_ROUNDS", "1"))
"""How often a server is killed; set it to hundreds before a release."""


@pytest.fixture
def responder() -> FakeResponder:
    """Says "one" and then waits until it may go on."""
    return FakeResponder(lambda *_: "one two three", hold=1)


@pytest.fixture
def server(responder: FakeResponder, tmp_path: Path) -> Iterator[tuple[httpx2.Client, FastAPI]]:
    address = f"sqlite:///{tmp_path / 'store.db'}"
    with listening(responder, address) as (url, app), httpx2.Client(base_url=url, timeout=20) as http:
        yield http, app
        responder.go_on.set()


class Beside:
    """A request that is sent while others are."""

    def __init__(self, http: httpx2.Client, path: str, **body: Any) -> None:
        self.events: list[tuple[str, Any]] = []
        self.status = 0
        self._thread = threading.Thread(target=self._send, args=(str(http.base_url), path, body))
        self._thread.start()

    def _send(self, url: str, path: str, body: dict[str, Any]) -> None:
        with httpx2.Client(base_url=url, timeout=20) as http, http.stream("POST", path, json=body) as answer:
            self.status = answer.status_code
            if answer.headers["content-type"].startswith("text/event-stream"):
                self.events += events(answer.iter_lines())
            else:
                self.events.append(("json", answer.read() and answer.json()))

    def over(self) -> Any:
        """Waits for the end, and gives the last thing that was told."""
        self._thread.join()
        return self.events[-1][1]


def create(http: httpx2.Client, *turns: str) -> str:
    return str(http.post("/conversations", json={"turns": list(turns)}).json()["id"])


def texts(http: httpx2.Client, id: str) -> list[str]:
    return [turn["text"] for turn in http.get(f"/conversations/{id}").json()["turns"]]


def until(true: Callable[[], object]) -> None:
    """Waits until something is so, ten seconds at most."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def until_held(app: FastAPI, responder: FakeResponder, id: str) -> None:
    """Waits until a reply is being made, and what was said is stored."""
    assert responder.held.wait(10)
    until(lambda: id in app.state.turns.conversations.running)


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_is_stopped_is_stored_as_far_as_it_was_written(
    server: tuple[httpx2.Client, FastAPI], responder: FakeResponder, stream: bool
) -> None:
    http, app = server
    id = create(http)
    assert http.post(f"/conversations/{id}/stop").json()["error"]["code"] == "nothing_running"
    talking = Beside(http, f"/conversations/{id}/turns", text="Hello", stream=stream)
    until_held(app, responder, id)
    assert texts(http, id) == ["Hello"]  # on the disk already
    assert http.post(f"/conversations/{id}/turns", json={"text": "x"}).json()["error"]["code"] == "waiting"
    assert http.post(f"/conversations/{id}/reply").json()["error"]["code"] == "running"
    assert http.post(f"/conversations/{id}/stop").status_code == 202
    told = talking.over()
    assert (told["turn"]["text"], told["reply"]["finish"], told["waiting"]) == ("one", "cancelled", False)
    assert texts(http, id) == ["Hello", "one"]


def test_a_reply_that_is_stopped_before_its_first_word_leaves_a_turn_that_waits(tmp_path: Path) -> None:
    responder = FakeResponder(lambda *_: "one two", hold=0)
    with listening(responder, f"sqlite:///{tmp_path / 's.db'}") as (url, app), httpx2.Client(base_url=url) as http:
        id = create(http)
        talking = Beside(http, f"/conversations/{id}/turns", text="Hello", stream=True)
        until_held(app, responder, id)
        http.post(f"/conversations/{id}/stop")
        told = talking.over()
        assert (told["turn"], told["waiting"], told["reply"]["text"]) == (None, True, "")
        assert http.get(f"/conversations/{id}").json()["waiting"] is True
        responder.go_on.set()
        assert http.post(f"/conversations/{id}/reply").json()["turn"]["text"] == "one two"


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_written_for_a_client_that_leaves_is_stored(
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


def test_a_retry_that_is_stopped_at_its_first_word_takes_the_place_of_the_old_reply(
    server: tuple[httpx2.Client, FastAPI], responder: FakeResponder
) -> None:
    http, app = server
    id = create(http, "Hello", "old")
    talking = Beside(http, f"/conversations/{id}/retry", stream=True)
    until_held(app, responder, id)
    assert texts(http, id) == ["Hello", "old"]
    assert http.post(f"/conversations/{id}/turns", json={"text": "x"}).json()["error"]["code"] == "running"
    http.post(f"/conversations/{id}/stop")
    talking.over()
    assert texts(http, id) == ["Hello", "one"]


@pytest.mark.parametrize("what", ["undo", "delete", "join"])
def test_a_change_of_the_turns_ends_the_reply_that_does_not_fit_any_more(
    server: tuple[httpx2.Client, FastAPI], responder: FakeResponder, what: str
) -> None:
    http, app = server
    id = create(http, "a", "b")
    talking = Beside(http, f"/conversations/{id}/turns", text="Hello", stream=True)
    until_held(app, responder, id)
    if what == "undo":
        assert [turn["text"] for turn in http.post(f"/conversations/{id}/undo").json()["taken"]] == ["Hello"]
    elif what == "delete":
        assert http.delete(f"/conversations/{id}").status_code == 204
    else:
        joining = Beside(http, f"/conversations/{id}/turns", text="more", join=True)
    assert talking.over()["error"]["code"] == ("no_conversation" if what == "delete" else "conflict")
    if what == "join":
        responder.go_on.set()
        assert joining.over()["turn"]["text"] == "one two three"
        assert texts(http, id) == ["a", "b", "Hello\nmore", "one two three"]
    elif what == "undo":
        assert texts(http, id) == ["a", "b"]
    until(lambda: app.state.service.jobs.limit.open == 0)


def test_what_is_said_after_taking_back_need_not_wait_for_the_reply_that_ends(tmp_path: Path) -> None:
    class Stubborn(FakeResponder):
        def pause(self, number: int, cancelled: threading.Event) -> bool:
            """Does not hear that it is to end."""
            return super().pause(number, threading.Event()) if len(self.asked) == 1 else False

    responder = Stubborn(lambda *_: "one two", hold=1)
    with listening(responder, str(tmp_path / "store.db")) as (url, app), httpx2.Client(base_url=url) as http:
        id = create(http)
        talking = Beside(http, f"/conversations/{id}/turns", text="Hello")
        until_held(app, responder, id)
        assert http.post(f"/conversations/{id}/undo").status_code == 200
        said = http.post(f"/conversations/{id}/turns", json={"text": "Hi"})
        responder.go_on.set()
        assert said.status_code == 200, said.text
        assert talking.over()["error"]["code"] == "conflict"
        assert texts(http, id) == ["Hi", "one two"]


def test_a_blocked_text_that_joins_a_turn_ends_the_reply_to_it(responder: FakeResponder, tmp_path: Path) -> None:
    policy = Policy(words=WordList(["rain"]), sides=["input"])
    with (
        listening(responder, str(tmp_path / "store.db"), policy=policy) as (url, app),
        httpx2.Client(base_url=url, timeout=20) as http,
    ):
        id = create(http)
        talking = Beside(http, f"/conversations/{id}/turns", text="Hello")
        until_held(app, responder, id)
        joined = http.post(f"/conversations/{id}/turns", json={"text": "rain", "join": True}).json()
        assert joined["said"]["blocked"] and joined["waiting"] is False
        assert talking.over()["error"]["code"] == "conflict"  # though it may not go on
        responder.go_on.set()
        assert http.post(f"/conversations/{id}/turns", json={"text": "Hi"}).status_code == 200
        assert responder.asked[-1]["context"] == ("Hi",)


def test_settings_may_change_while_a_reply_is_being_made(
    server: tuple[httpx2.Client, FastAPI], responder: FakeResponder
) -> None:
    http, app = server
    id = create(http)
    talking = Beside(http, f"/conversations/{id}/turns", text="Hello", version=1)
    until_held(app, responder, id)
    assert http.patch(f"/conversations/{id}", json={"title": "Tea", "version": 2}).json()["version"] == 3
    responder.go_on.set()
    assert talking.over()["version"] == 4
    whole = http.get(f"/conversations/{id}").json()
    assert (whole["title"], len(whole["turns"])) == ("Tea", 2)


def test_the_same_request_while_the_first_is_being_answered_is_refused(
    server: tuple[httpx2.Client, FastAPI], responder: FakeResponder
) -> None:
    http, _ = server
    id = create(http)
    path, headers = f"/conversations/{id}/turns", {"Idempotency-Key": "a"}
    with http.stream("POST", path, json={"text": "Hi", "stream": True}, headers=headers) as answer:
        assert responder.held.wait(10)
        with httpx2.Client(base_url=http.base_url) as beside:
            again = beside.post(path, json={"text": "Hi"}, headers=headers)
            assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency")
            responder.go_on.set()
            *_, (name, told) = events(answer.iter_lines())
            assert name == "reply"
            assert beside.post(path, json={"text": "Hi"}, headers=headers).json() == told


# Processes


def test_a_server_that_is_told_to_end_stores_what_was_written(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'store.db'}"
    server = Process(address, seconds=0.3)
    id = ask(server.port, "POST", "/conversations", {})[1]["id"]
    said: list[Any] = []
    body = {"text": "Say much", "seed": 4}
    talking = threading.Thread(
        target=lambda: said.append(ask(server.port, "POST", f"/conversations/{id}/turns", body)[1])
    )
    talking.start()
    until(lambda: ask(server.port, "GET", f"/conversations/{id}")[1]["turns"])
    time.sleep(0.5)
    assert "Traceback" not in server.terminate()
    talking.join()
    server = Process(address)
    turns = turns_of(server.port, id)
    server.kill()
    assert [turn["text"] for turn in turns] == ["Say much", said[0]["turn"]["text"]]


def test_what_was_acknowledged_is_there_after_a_kill_whole_and_once(tmp_path: Path) -> None:
    report = kill_again_and_again(f"sqlite:///{tmp_path / 'store.db'}", rounds=ROUNDS, seed=os.getpid())
    assert report.kills == ROUNDS
    assert report.acknowledged > 0


def test_a_disk_that_is_full_is_told_and_what_was_acknowledged_stays(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'store.db'}"
    server = Process(address)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    id = ask(server.port, "POST", "/conversations", {})[1]["id"]
    known: list[str] = []
    status, value = ask(server.port, "GET", f"/conversations/{id}")
    while status == 200:
        assert len(known) < 200
        status, value = ask(server.port, "POST", f"/conversations/{id}/turns", {"text": f"{len(known)} " + "x" * 9000})
        if status == 200:
            known += [value["said"]["text"], value["turn"]["text"]]
    assert (status, value["error"]["code"]) == (503, "store_unavailable")
    found = [turn["text"] for turn in turns_of(server.port, id)]
    assert found[: len(known)] == known and len(found) <= len(known) + 1
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    what = "reply" if len(found) % 2 else "retry"
    assert ask(server.port, "POST", f"/conversations/{id}/{what}", {})[0] == 200
    server.kill()


def test_two_servers_share_a_store_and_either_goes_on_with_a_conversation(postgres_folder: str) -> None:
    address = new_database(postgres_folder)
    with ExitStack() as stack:
        servers = [Process(address), Process(address)]
        for server in servers:
            stack.callback(server.kill)
        ports = [server.port for server in servers]
        id = ask(ports[0], "POST", "/conversations", {"title": "shared"})[1]["id"]
        for number in range(6):
            port = ports[number % 2]
            status, value = ask(port, "POST", f"/conversations/{id}/turns", {"text": f"turn {number}"})
            assert (status, value["said"]["number"]) == (200, 2 * number + 1)
        assert turns_of(ports[0], id) == turns_of(ports[1], id)
        assert [turn["text"] for turn in turns_of(ports[1], id)[::2]] == [f"turn {n}" for n in range(6)]
        assert ask(ports[1], "POST", f"/conversations/{id}/retry", {})[0] == 200
        _both_at_once(ports, id)


def _both_at_once(ports: list[int], id: str) -> None:
    """Of two who change the same version on two servers, one wins."""
    for number in range(5):
        version = ask(ports[0], "GET", f"/conversations/{id}")[1]["version"]
        outcomes: list[tuple[int, Any]] = []
        ready = threading.Barrier(2)

        def say(
            port: int,
            body: dict[str, Any],
            ready: threading.Barrier = ready,
            outcomes: list[tuple[int, Any]] = outcomes,
        ) -> None:
            ready.wait()
            outcomes.append(ask(port, "POST", f"/conversations/{id}/turns", body))

        bodies = [{"text": f"at once {number} on {port}", "version": version} for port in ports]
        threads = [threading.Thread(target=say, args=each) for each in zip(ports, bodies, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(status for status, _ in outcomes) == [200, 409]
        [told] = [value for status, value in outcomes if status == 200]
        assert turns_of(ports[1], id)[-2]["text"] == told["said"]["text"]


def test_a_request_that_was_cut_off_on_one_server_is_finished_on_the_other(postgres_folder: str) -> None:
    address = new_database(postgres_folder)
    slow, quick = Process(address, seconds=30), Process(address)
    id = ask(quick.port, "POST", "/conversations", {})[1]["id"]
    headers, body = {"Idempotency-Key": "a"}, {"text": "Hello", "stream": True}
    url = f"/conversations/{id}/turns"
    with (
        httpx2.Client(base_url=f"http://localhost:{slow.port}", timeout=20) as http,
        pytest.raises(httpx2.TransportError),
        http.stream("POST", url, json=body, headers=headers) as answer,
    ):
        for name, _ in events(answer.iter_lines()):
            assert name == "said"
            slow.kill()
    with httpx2.Client(base_url=f"http://localhost:{quick.port}", timeout=20) as http:
        first = http.post(url, json={"text": "Hello"}, headers=headers)
        assert first.status_code == 200
        assert http.post(url, json={"text": "Hello"}, headers=headers).json() == first.json()
        assert [turn["text"] for turn in turns_of(quick.port, id)] == ["Hello", first.json()["turn"]["text"]]
    quick.kill()
