"""Construction of services."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from convmodel.responders.protocol import Session
from convmodel.serving.service import Service
from convmodel.serving.store import Store
from tests.fakes import FakeDocuments, FakeResponder
from tests.serving.clients import client_of


def test_a_service_has_the_abilities_of_its_models() -> None:
    responder, writer = FakeResponder(), FakeDocuments()
    both = Service(responder, writer=writer)
    assert both.replies is not None and both.documents is not None and not both.searches
    assert both.talker is responder and Service(writer=writer).talker is writer
    assert Service(writer=writer).replies is None and Service().presets == {}


def test_a_service_with_a_store_checks_it(tmp_path: Path) -> None:
    service = Service(FakeResponder(), store=Store(str(tmp_path / "store.db")))
    service.ready["store"]()
    service.close()


# Adapters


def say(name: str) -> FakeResponder:
    return FakeResponder(lambda context, seed, options: f"{name} hears {context[-1]}")


def several(**others: Any) -> Service:
    return Service(say("base"), adapters={"a": say("a"), "b/c": say("b/c")}, model="base", context_length=64, **others)


NAMES = ("base", "a", "b/c")
TURN = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize("name", NAMES)
def test_every_route_replies_with_the_model_of_the_request(name: str) -> None:
    expected = f"{name} hears Hello"
    with client_of(several()) as client:
        chat = client.post("/v1/chat/completions", json={"model": name, "messages": [TURN]}).json()
        assert (chat["model"], chat["choices"][0]["message"]["content"]) == (name, expected)
        text = client.post("/v1/completions", json={"model": name, "prompt": "Hello"}).json()
        assert (text["model"], text["choices"][0]["text"]) == (name, expected)
        message = client.post("/v1/messages", json={"model": name, "max_tokens": 9, "messages": [TURN]}).json()
        assert (message["model"], message["content"][0]["text"]) == (name, expected)
        assert client.post("/replies", json={"model": name, "context": ["Hello"]}).json()["text"] == expected
        body = {"model": name, "messages": [TURN], "stream": True}
        lines = client.post("/v1/chat/completions", json=body).text.splitlines()
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        assert {chunk["model"] for chunk in chunks} == {name}
        pieces = (choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
        assert "".join(pieces) == expected


def test_a_reply_without_a_model_is_the_servers_own() -> None:
    with client_of(several()) as client:
        assert client.post("/replies", json={"context": ["Hello"]}).json()["text"] == "base hears Hello"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [TURN]}),
        ("/v1/completions", {"prompt": "Hello"}),
        ("/v1/messages", {"max_tokens": 9, "messages": [TURN]}),
        ("/v1/messages/count_tokens", {"messages": [TURN]}),
        ("/replies", {"context": ["Hello"]}),
        ("/conversations", {}),
    ],
)
def test_an_unknown_model_is_refused_with_the_names_of_all(path: str, body: dict[str, Any], tmp_path: Path) -> None:
    with client_of(several(store=Store(str(tmp_path / "store.db")))) as client:
        response = client.post(path, json={"model": "c", **body})
        error = response.json()["error"]
        assert response.status_code == 404
        assert error["message"] == "there is no model of this name; this server has 'base', 'a', 'b/c'"


def test_models_are_listed_with_their_parent_and_length() -> None:
    with client_of(several()) as client:
        listed = client.get("/v1/models").json()["data"]
        assert [(model["id"], model["root"], model["parent"]) for model in listed] == [
            ("base", "base", None),
            ("a", "a", "base"),
            ("b/c", "b/c", "base"),
        ]
        assert {(model["context_length"], model["max_model_len"]) for model in listed} == {(64, 64)}
        assert client.get("/v1/models/b/c").json() == listed[2]
        assert client.get("/v1/models/c").status_code == 404
        assert client.get("/about").json()["models"] == [*NAMES]


def test_an_adapter_replies_to_prompts_beside_a_document_model() -> None:
    with client_of(several(writer=FakeDocuments())) as client:
        text = client.post("/v1/completions", json={"model": "a", "prompt": "Hello"}).json()["choices"][0]["text"]
        assert text == "a hears Hello"


# Conversations


def test_a_conversation_remembers_its_model(tmp_path: Path) -> None:
    with client_of(several(store=Store(str(tmp_path / "store.db")))) as client:
        ids = {}
        for name in NAMES:
            made = client.post("/conversations", json={"model": name}).json()
            assert made["model"] == (None if name == "base" else name)
            ids[name] = made["id"]
        for name, id in ids.items():
            answer = client.post(f"/conversations/{id}/turns", json={"text": "Hello"}).json()
            assert answer["reply"]["text"] == f"{name} hears Hello"
        assert client.patch(f"/conversations/{ids['a']}", json={"model": "b/c"}).json()["model"] == "b/c"
        retried = client.post(f"/conversations/{ids['a']}/retry", json={}).json()
        assert retried["reply"]["text"] == "b/c hears Hello"
        assert client.patch(f"/conversations/{ids['a']}", json={"model": "d"}).status_code == 404


def test_a_conversation_of_a_model_that_is_gone_waits_for_another(tmp_path: Path) -> None:
    with client_of(several(store=Store(str(tmp_path / "store.db")))) as client:
        id = client.post("/conversations", json={"model": "a"}).json()["id"]
    with client_of(Service(say("base"), model="base", store=Store(str(tmp_path / "store.db")))) as client:
        response = client.post(f"/conversations/{id}/turns", json={"text": "Hello"})
        assert response.status_code == 409 and response.json()["error"]["code"] == "no_model"
        assert "the conversation's model is 'a', and this server has 'base'" in response.json()["error"]["message"]
        assert client.patch(f"/conversations/{id}", json={"model": None}).status_code == 200
        said = client.post(f"/conversations/{id}/turns", json={"text": "Hello"}).json()
        assert said["reply"]["text"] == "base hears Hello"


def test_a_session_belongs_to_the_model_of_its_conversation(tmp_path: Path) -> None:
    sessions: list[Session | None] = []

    class Remembering(FakeResponder):
        def start(self, context: Sequence[str], **others: Any) -> Any:
            sessions.append(others.get("session"))
            return super().start(context, **others)

    responder = Remembering()
    service = Service(responder, adapters={"a": responder}, store=Store(str(tmp_path / "store.db")))
    with client_of(service) as client:
        id = client.post("/conversations", json={}).json()["id"]
        for model in (None, None, "a", "a"):
            client.patch(f"/conversations/{id}", json={"model": model})
            assert client.post(f"/conversations/{id}/turns", json={"text": "Hello"}).status_code == 200
    assert sessions[0] is sessions[1] and sessions[2] is sessions[3] and sessions[1] is not sessions[2]
