"""Errors of the API when the store fails."""

from typing import Any

import pytest

from convmodel.serving.store import Store, keys
from convmodel.serving.store.errors import Unavailable
from tests.fakes import FakeResponder
from tests.serving.talking import Talk, events, served


def test_when_the_store_cannot_write_the_api_answers_503_and_nothing_changes(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = talk.create(turns=["Hello", "Hi"])

    async def full(*args: Any, **options: Any) -> Any:
        raise Unavailable("the store is not available: database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(talk.store, "awrite", full)
        for answer in (
            talk.http.post(f"/conversations/{id}/turns", json={"text": "x"}),
            talk.http.post("/conversations"),
            talk.http.delete(f"/conversations/{id}"),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
            assert "Retry-After" in answer.headers and "disk" not in answer.text
        with talk.http.stream("POST", f"/conversations/{id}/retry", json={"stream": True}) as stream:
            *_, (name, value) = events(stream.iter_lines())
            assert (name, value["error"]["type"]) == ("error", "server_error")
    assert talk.texts(id) == ["Hello", "Hi"]
    assert talk.say(id, "x")["version"] == 3


def test_when_the_keys_cannot_be_read_requests_are_rejected_and_the_server_stays_healthy(
    responder: FakeResponder, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(address) as store:
        anna = store.write(keys.add, "anna")
    with served(responder, address, keys=True) as talk:
        talk.http.headers["Authorization"] = f"Bearer {anna}"
        assert talk.http.get("/conversations").status_code == 200

        def gone(*_: object) -> None:
            raise Unavailable("the store is not available: connection refused")

        monkeypatch.setattr("convmodel.serving.auth.FRESH", -1.0)
        monkeypatch.setattr(talk.store, "read", gone)
        refused = talk.http.get("/conversations")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        assert talk.http.get("/health").status_code == 200
        assert talk.http.get("/ready").status_code == 503
