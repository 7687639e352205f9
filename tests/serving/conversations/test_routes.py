"""Streams, access and methods of the conversation routes, and their lifespan."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from convmodel.serving.store import Store, keys
from tests.fakes import FakeResponder
from tests.serving.clients import until
from tests.serving.talking import Talk, events, served


def test_a_stream_sends_the_stored_turn_then_the_pieces_then_the_json_body(talk: Talk) -> None:
    id = talk.create(seed=5)
    with talk.http.stream("POST", f"/conversations/{id}/turns", json={"text": "Hello", "stream": True}) as answer:
        sent = list(events(answer.iter_lines()))
    names = [name for name, _ in sent]
    assert names == ["said", *["piece"] * (len(sent) - 2), "reply"]
    turns = talk.read(id)["turns"]
    assert sent[0][1] == {"turn": turns[0], "version": 2}
    assert "".join(value["text"] for name, value in sent if name == "piece") == "Hello #5"
    assert sent[-1][1] == {
        **{"said": turns[0], "turn": turns[1], "reply": turns[1]["reply"], "version": 3, "waiting": False}
    }


def test_a_key_has_access_to_its_own_conversations_only(responder: FakeResponder, address: str) -> None:
    with Store(address) as store:
        anna, bob = (store.write(keys.add, name) for name in ("anna", "bob"))
    with served(responder, address, keys=True) as talk:
        assert talk.http.get("/conversations").status_code == 401
        talk.http.headers["Authorization"] = f"Bearer {anna}"
        id = talk.create(turns=["secret", "reply"])
        talk.http.headers["Authorization"] = f"Bearer {bob}"
        assert talk.http.get("/conversations").json() == {"conversations": [], "next": None}
        assert talk.http.get("/conversations/export").text == ""
        nobodys = "A" * 22
        requests: list[tuple[str, str, Any]] = [
            *[("GET", "", None), ("GET", "/export", None), ("DELETE", "", None), ("PATCH", "", {"title": "x"})],
            *[("POST", "/turns", {"text": "x"}), ("POST", "/reply", {}), ("POST", "/retry", {})],
            *[("POST", "/stop", None), ("POST", "/undo", {}), ("POST", "/choose", {"candidate": 1})],
        ]
        for method, path, body in requests:
            of_anna = talk.http.request(method, f"/conversations/{id}{path}", json=body)
            missing = talk.http.request(method, f"/conversations/{nobodys}{path}", json=body)
            assert of_anna.status_code == missing.status_code == 404, path
            assert of_anna.json() == missing.json()
        talk.http.delete("/conversations")
        talk.http.headers["Authorization"] = f"Bearer {anna}"
        assert talk.texts(id) == ["secret", "reply"]


def test_an_unsupported_method_gets_the_supported_methods_in_the_allow_header(talk: Talk) -> None:
    for path, methods in [
        ("/conversations", "DELETE, GET, HEAD, POST"),
        (f"/conversations/{'a' * 22}", "DELETE, GET, HEAD, PATCH"),
    ]:
        refused = talk.http.put(path)
        assert (refused.status_code, refused.headers["Allow"]) == (405, methods)


def test_expired_conversations_are_deleted_with_keep_for(responder: FakeResponder, address: str) -> None:
    with served(responder, address) as talk:
        id = talk.create(turns=["old", "Hi"])
        aged = text("update convmodel_conversations set updated = updated - 7200000000")
        talk.store.write(lambda connection: connection.execute(aged))
        young = talk.create()
    with served(responder, address, keep_for=timedelta(hours=1)) as talk:
        until(lambda: talk.http.get(f"/conversations/{id}").status_code == 404)
        assert talk.read(young)["turns"] == []
