"""Stored replies: blocked texts, and servers that are killed, share a store or have a full disk."""

import os
import resource
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from convmodel.serving.safety import Policy, WordList
from tests.fakes import FakeResponder
from tests.serving.clients import until
from tests.serving.databases import new_database
from tests.serving.killing import ask, kill_again_and_again, turns_of
from tests.serving.server import Process
from tests.serving.talking import events, served

ROUNDS = int(os.environ.get("CONVMODEL_KILL_ROUNDS", "1"))
"""Number of times that a server is killed; set it to hundreds before a release."""


@pytest.mark.parametrize(
    ("store", "kept"),
    [
        ("nothing", []),
        ("placeholder", ["[blocked]", "No."]),
        ("text", ["the foul word", "No."]),
    ],
)
def test_a_blocked_turn_is_stored_as_the_policy_says_and_left_out_of_later_contexts(
    responder: FakeResponder, address: str, tmp_path: Path, store: Any, kept: list[str]
) -> None:
    policy = Policy(words=WordList(["foul"]), say="No.", store=store)
    with served(responder, address, policy=policy) as talk:
        id = talk.create(seed=1)
        talk.say(id, "one")
        blocked = talk.say(id, "the foul word", key="k")
        assert (blocked["turn"]["text"], blocked["turn"]["blocked"], blocked["said"]["blocked"]) == ("No.", True, True)
        assert blocked["reply"]["blocked"] == {"side": "input", "by": "words", "label": None}
        assert (blocked["reply"]["finish"], blocked["waiting"]) == ("filtered", False)
        assert talk.texts(id) == ["one", "one #1", *kept]
        assert talk.say(id, "the foul word", key="k") == blocked
        assert any(b"foul" in file.read_bytes() for file in tmp_path.iterdir()) == (store == "text")
        if kept:
            assert talk.ask(id, "retry", status=409)["error"]["code"] == "blocked"
        talk.say(id, "two")
        assert responder.requests[-1]["context"] == ("one", "one #1", "two")
        exported = talk.http.get(f"/conversations/{id}/export").json()
        assert exported == {"turns": ["one", "one #1", "two", "one|one #1|two #1"]}
        for body in ({"persona": ["foul"]}, {"turns": ["foul"]}, {"turns": ["x", "foul"]}):
            assert talk.http.post("/conversations", json=body).json()["error"]["code"] == "blocked"


@pytest.mark.parametrize(
    ("store", "kept"),
    [("nothing", []), ("placeholder", ["fou", "No."]), ("text", ["fou", "No."])],
)
def test_a_blocked_reply_is_stored_as_the_policy_says_and_left_out_of_later_contexts(
    address: str, tmp_path: Path, store: Any, kept: list[str]
) -> None:
    responder = FakeResponder(lambda context, seed, _: f"{context[-1]}{'l' if seed < 3 else 'r'}")
    policy = Policy(words=WordList(["foul"]), say="No.", store=store)
    with served(responder, address, policy=policy) as talk:
        id = talk.create(seed=1, turns=["Hello", "Hi"])
        said = talk.say(id, "fou")
        assert (said["turn"]["text"], said["reply"]["blocked"]["side"], said["reply"]["text"]) == (
            "No.",
            "output",
            "No.",
        )
        assert talk.texts(id) == ["Hello", "Hi", *kept]
        assert any(b"foul" in file.read_bytes() for file in tmp_path.iterdir()) == (store == "text")
        assert "foul" not in talk.http.get(f"/conversations/{id}").text
        talk.say(id, "two", seed=9)
        assert responder.requests[-1]["context"] == ("Hello", "Hi", "two")
        talk.ask(id, "undo")
        if kept:
            assert [turn["blocked"] for turn in talk.read(id)["turns"]] == [False, False, True, True]
            assert talk.ask(id, "retry", seed=2)["turn"]["blocked"] is True
            again = talk.ask(id, "retry", seed=3)
            assert (again["turn"]["text"], again["turn"]["blocked"]) == ("four", False)
            assert [turn["blocked"] for turn in talk.read(id)["turns"]] == [False] * 4


@pytest.mark.slow
def test_a_terminated_server_stores_the_text_generated_so_far(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'store.db'}"
    server = Process(address, seconds=0.3)
    id = ask(server.port, "POST", "/conversations", {})[1]["id"]
    responses: list[Any] = []
    body = {"text": "Say much", "seed": 4}
    talking = threading.Thread(
        target=lambda: responses.append(ask(server.port, "POST", f"/conversations/{id}/turns", body)[1])
    )
    talking.start()
    until(lambda: ask(server.port, "GET", f"/conversations/{id}")[1]["turns"])
    time.sleep(0.5)
    assert "Traceback" not in server.terminate()
    talking.join()
    server = Process(address)
    turns = turns_of(server.port, id)
    server.kill()
    assert [turn["text"] for turn in turns] == ["Say much", responses[0]["turn"]["text"]]


@pytest.mark.slow
def test_acknowledged_turns_survive_a_killed_server_complete_and_once(tmp_path: Path) -> None:
    report = kill_again_and_again(f"sqlite:///{tmp_path / 'store.db'}", rounds=ROUNDS, seed=os.getpid())
    assert report.kills == ROUNDS
    assert report.acknowledged > 0


@pytest.mark.slow
def test_a_full_disk_is_reported_and_acknowledged_turns_stay(tmp_path: Path) -> None:
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
    stored = [turn["text"] for turn in turns_of(server.port, id)]
    assert stored[: len(known)] == known and len(stored) <= len(known) + 1
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    action = "reply" if len(stored) % 2 else "retry"
    assert ask(server.port, "POST", f"/conversations/{id}/{action}", {})[0] == 200
    server.kill()


@pytest.mark.slow
def test_two_servers_can_continue_one_conversation_in_a_shared_store(postgres_folder: str) -> None:
    address = new_database(postgres_folder)
    with ExitStack() as stack:
        servers = [Process(address), Process(address)]
        for server in servers:
            stack.callback(server.kill)
        ports = [server.port for server in servers]
        id = ask(ports[0], "POST", "/conversations", {"title": "shared"})[1]["id"]
        for index in range(6):
            port = ports[index % 2]
            status, value = ask(port, "POST", f"/conversations/{id}/turns", {"text": f"turn {index}"})
            assert (status, value["said"]["number"]) == (200, 2 * index + 1)
        assert turns_of(ports[0], id) == turns_of(ports[1], id)
        assert [turn["text"] for turn in turns_of(ports[1], id)[::2]] == [f"turn {n}" for n in range(6)]
        assert ask(ports[1], "POST", f"/conversations/{id}/retry", {})[0] == 200
        _both_at_once(ports, id)


def _both_at_once(ports: list[int], id: str) -> None:
    """Change the same version on two servers at the same time: one of the two requests succeeds."""
    for attempt in range(5):
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

        bodies = [{"text": f"at once {attempt} on {port}", "version": version} for port in ports]
        threads = [threading.Thread(target=say, args=arguments) for arguments in zip(ports, bodies, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(status for status, _ in outcomes) == [200, 409]
        [winner] = [value for status, value in outcomes if status == 200]
        assert turns_of(ports[1], id)[-2]["text"] == winner["said"]["text"]


@pytest.mark.slow
def test_a_request_interrupted_by_a_killed_server_is_finished_by_another(postgres_folder: str) -> None:
    address = new_database(postgres_folder)
    slow = Process(address, seconds=30)
    quick = Process(address)
    id = ask(quick.port, "POST", "/conversations", {})[1]["id"]
    headers = {"Idempotency-Key": "a"}
    body = {"text": "Hello", "stream": True}
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
