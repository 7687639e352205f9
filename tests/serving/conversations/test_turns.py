"""Turns and their replies, over HTTP, with conflicts and repeated requests."""

from typing import Any

from sqlalchemy import text

from tests.fakes import FakeResponder
from tests.serving.talking import Talk, events, served


def test_a_turn_and_its_reply_are_kept(talk: Talk) -> None:
    id = talk.create(seed=5)
    said = talk.say(id, "Hello")
    assert (said["said"]["number"], said["said"]["speaker"], said["said"]["text"]) == (1, "user", "Hello")
    assert (said["turn"]["number"], said["turn"]["speaker"], said["turn"]["text"]) == (2, "model", "Hello #5")
    assert said["turn"]["reply"] == said["reply"]
    assert (said["version"], said["waiting"], said["reply"]["seed"]) == (3, False, 5)
    again = talk.say(id, "And you?")
    assert again["turn"]["text"] == "Hello|Hello #5|And you? #5"
    read = talk.read(id)
    assert read["turns"] == [said["said"], said["turn"], again["said"], again["turn"]]
    assert (read["version"], read["waiting"]) == (5, False)


def test_an_empty_reply_adds_no_turn(address: str) -> None:
    texts = iter(["", "Hi", " ", "Ho"])
    with served(FakeResponder(lambda *_: next(texts)), address) as talk:
        id = talk.create()
        said = talk.say(id, "Hello", key="k")
        assert (said["turn"], said["waiting"], said["version"]) == (None, True, 2)
        assert talk.texts(id) == ["Hello"]
        assert talk.say(id, "Hello", key="k")["turn"]["text"] == "Hi"
        retried = talk.ask(id, "retry")
        assert (retried["turn"], retried["waiting"]) == (None, False)
        assert talk.texts(id) == ["Hello", "Hi"]
        talk.ask(id, "retry")
        assert talk.texts(id) == ["Hello", "Ho"]


def test_an_error_during_the_reply_leaves_the_turn_waiting(talk: Talk, responder: FakeResponder) -> None:
    id = talk.create(seed=1)
    responder.error = RuntimeError("/secret/path")
    failed = talk.http.post(f"/conversations/{id}/turns", json={"text": "Hello"})
    assert failed.status_code == 500
    assert "secret" not in failed.text
    with talk.http.stream("POST", f"/conversations/{id}/reply", json={"stream": True}) as answer:
        assert [name for name, _ in events(answer.iter_lines())] == ["error"]
    assert talk.read(id)["waiting"] is True
    responder.error = None
    assert talk.ask(id, "reply")["turn"]["text"] == "Hello #1"


def test_with_too_many_open_replies_nothing_is_stored_and_the_client_learns_when_to_retry(address: str) -> None:
    with served(FakeResponder(capacity=0), address) as talk:
        id = talk.create()
        full = talk.http.post(f"/conversations/{id}/turns", json={"text": "Hello"})
        assert (full.status_code, int(full.headers["Retry-After"]) > 0) == (429, True)
        assert talk.texts(id) == []


def test_a_change_between_reading_and_writing_is_a_conflict(talk: Talk, responder: FakeResponder) -> None:
    """Another server writes between the reading and the writing of this one."""
    id = talk.create(turns=["Hello", "Hi"])
    start = responder.start

    def change_first(*args: Any, **options: Any) -> Any:
        responder.start = start  # type: ignore[method-assign]
        statement = text("update convmodel_conversations set version = version + 1, turns_version = version + 1")
        talk.store.write(lambda connection: connection.execute(statement))
        return start(*args, **options)

    for action in ("turns", "retry"):
        responder.start = change_first  # type: ignore[method-assign]
        body = {"text": "x"} if action == "turns" else {}
        assert talk.ask(id, action, status=409, **body)["error"]["code"] == "conflict"
        responder.start = change_first  # type: ignore[method-assign]
        with talk.http.stream("POST", f"/conversations/{id}/{action}", json={**body, "stream": True}) as answer:
            if action == "turns":
                assert answer.status_code == 409
            else:
                [(name, error)] = [event for event in events(answer.iter_lines()) if event[0] != "piece"]
                assert (name, error["error"]["code"]) == ("error", "conflict")
    assert talk.texts(id) == ["Hello", "Hi"]


def test_a_repeated_request_gets_the_same_answer_and_adds_nothing(talk: Talk, responder: FakeResponder) -> None:
    id = talk.create()
    first = talk.say(id, "Hello", key="a")
    assert talk.say(id, "Hello", key="a") == first
    with talk.http.stream(
        "POST",
        f"/conversations/{id}/turns",
        json={"text": "Hello", "stream": True},
        headers={"Idempotency-Key": "a"},
    ) as answer:
        sent = list(events(answer.iter_lines()))
    assert sent[0] == ("said", {"turn": first["said"], "version": 2})
    assert sent[1:] == [("piece", {"text": first["turn"]["text"]}), ("reply", first)]
    retried = talk.ask(id, "retry", key="b")
    assert talk.ask(id, "retry", key="b") == retried
    assert len(responder.requests) == 2
    assert talk.texts(id) == ["Hello", retried["turn"]["text"]]


def test_a_different_request_with_the_same_key_is_rejected(talk: Talk) -> None:
    id, other = talk.create(), talk.create()
    talk.say(id, "Hello", key="a")
    assert talk.say(id, "Hullo", status=409, key="a")["error"]["code"] == "idempotency"
    assert talk.say(other, "Hello", status=409, key="a")["error"]["code"] == "idempotency"
    assert talk.ask(id, "retry", status=409, key="a")["error"]["code"] == "idempotency"
    too_long = talk.http.post(f"/conversations/{id}/retry", headers={"Idempotency-Key": "x" * 300})
    assert (too_long.status_code, too_long.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_a_repeated_request_generates_the_reply_that_failed_before(talk: Talk, responder: FakeResponder) -> None:
    id = talk.create(seed=4)
    responder.error = RuntimeError("gone")
    talk.say(id, "Hello", status=500, key="a")
    responder.error = None
    again = talk.say(id, "Hello", key="a")
    assert (again["said"]["number"], again["turn"]["text"]) == (1, "Hello #4")
    assert talk.say(id, "Hello", key="a") == again
    assert talk.texts(id) == ["Hello", "Hello #4"]
    responder.error = RuntimeError("gone")
    talk.say(id, "More", status=500, key="b")
    responder.error = None
    talk.ask(id, "undo")
    assert talk.say(id, "More", status=409, key="b")["error"]["code"] == "conflict"
